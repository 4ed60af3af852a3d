/* The C ABI as Swift imports it. Swift sees no macros, so each _INIT it needs has a function. */
#ifndef CELVER_H
#define CELVER_H

#include <elver/elver.h>

static inline elver_source celver_source(void) {
    return (elver_source)ELVER_SOURCE_INIT;
}
static inline elver_session_options celver_session_options(void) {
    return (elver_session_options)ELVER_SESSION_OPTIONS_INIT;
}
static inline elver_model_options celver_model_options(void) {
    return (elver_model_options)ELVER_MODEL_OPTIONS_INIT;
}
static inline elver_plan celver_plan(void) {
    return (elver_plan)ELVER_PLAN_INIT;
}
static inline elver_event celver_event(void) {
    return (elver_event)ELVER_EVENT_INIT;
}

#endif
