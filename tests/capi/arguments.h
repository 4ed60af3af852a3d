/* How arguments.c and arguments_ops.c note what a call answered wrongly. */
#ifndef ELVER_TESTS_ARGUMENTS_H
#define ELVER_TESTS_ARGUMENTS_H

#include <elver/elver.h>
#include <stdio.h>
#include <string.h>

static int n_wrong;
static char* text;
static size_t room;

static void begin_log(char* log, size_t log_size) {
    n_wrong = 0;
    text = log;
    room = log_size;
}
static int wrong_calls(void) {
    return n_wrong;
}

static void note(const char* what, int status, const elver_error* error) {
    const int n = snprintf(text, room, "%s: status %d, \"%s\"\n", what, status, elver_error_message(error));
    ++n_wrong;
    if (n > 0 && (size_t)n < room) text += n, room -= (size_t)n;
}

/* The call with an error object must fail as invalid, naming its argument; without one it must fail as well. */
#define INVALID(call, name)                                                                               \
    do {                                                                                                  \
        elver_error* failure = NULL;                                                                      \
        elver_error** error = &failure;                                                                   \
        int status = call;                                                                                \
        if (status != ELVER_INVALID_ARGUMENT || failure == NULL ||                                        \
            strstr(elver_error_message(failure), name) == NULL ||                                         \
            elver_error_status(failure) != ELVER_INVALID_ARGUMENT || elver_error_object(failure) == NULL) \
            note(#call, status, failure);                                                                 \
        elver_error_release(failure);                                                                     \
        error = NULL;                                                                                     \
        status = call;                                                                                    \
        if (status != ELVER_INVALID_ARGUMENT) note(#call " without an error", status, NULL);              \
    } while (0)
#define EQUAL(expression, value)                                    \
    do {                                                            \
        if (!((expression) == (value))) note(#expression, 0, NULL); \
    } while (0)

#endif
