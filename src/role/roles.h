#pragma once
/* The roles of `treadle serve`, one file each: role/role_NAME.c. */
#include "role/role.h"

extern const struct role_def role_engine, role_egress, role_executor, role_gateway;
