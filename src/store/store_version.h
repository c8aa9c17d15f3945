#pragma once
/* Which database keeps the journals, for `doctor` and bug reports. */

/* "SQLite 3.40.1"; never freed. */
const char *store_version(void);
