#pragma once
/* A door in front of the executor's, for runs with made-up answers: commands that a fixture answers, or their step's
 * mock_response or mock_error, are not run; all else goes through. */
#include "ev/loop.h"
#include "llm/mock_fixture.h"
#include "role/port.h"

/* Both are borrowed and must outlive it. Free with port_mock_free(), which drops the answers that are still due. */
struct port *port_mock(struct ev_loop *loop, struct mock_fixtures *fixtures, struct port *inner);
/* What a command comes to whose request has that `mock` (step/mocked.h); NULL: it ends well and says nothing. */
struct val port_mock_outcome(const struct val *mock, struct arena *a);
void port_mock_free(struct port *p); /* NULL is fine */
