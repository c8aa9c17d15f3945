#pragma once
/* Asserts that stay on in every build, and the end of a process that found itself broken.
 *
 * CHECK is for what cannot happen unless Treadle has a bug. A failed CHECK prints where and what to standard error and
 * aborts: state is durable, so a dead process is safer than a wrong one. Outside input must never reach a CHECK. */

#define CHECK(cond)                                              \
    do {                                                         \
        if (__builtin_expect(!(cond), 0))                        \
            panic_at(__FILE__, __LINE__, __func__, "%s", #cond); \
    } while (0)

#define PANIC(...) panic_at(__FILE__, __LINE__, __func__, __VA_ARGS__)

/* Long-lived structs begin with `uint32_t magic`; these verify it where such a pointer comes in from elsewhere. */
#define CHECK_OBJ(ptr, type_magic)           \
    do {                                     \
        CHECK((ptr) != NULL);                \
        CHECK((ptr)->magic == (type_magic)); \
    } while (0)

__attribute__((noreturn, cold, format(printf, 4, 5))) void panic_at(const char *file, int line, const char *func,
                                                                    const char *fmt, ...);
