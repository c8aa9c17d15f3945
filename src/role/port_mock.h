#pragma once
/* A door in front of the executor's, for runs with fixtures: commands that a fixture answers are not run; all else goes
 * through. */
#include "ev/loop.h"
#include "llm/mock_fixture.h"
#include "role/port.h"

/* Both are borrowed and must outlive it. Free with port_mock_free(), which drops the answers that are still due. */
struct port *port_mock(struct ev_loop *loop, struct mock_fixtures *fixtures, struct port *inner);
void port_mock_free(struct port *p); /* NULL is fine */
