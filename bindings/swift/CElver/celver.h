/* The C ABI as Swift imports it. Swift sees no macros, so each _INIT it needs has a function. */
#ifndef CELVER_H
#define CELVER_H

#include <elver/elver.h>
#include <elver/elver_experimental.h>
#include <elver/elver_ops.h>

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
static inline elver_fit celver_fit(void) {
    return (elver_fit)ELVER_FIT_INIT;
}
static inline elver_event celver_event(void) {
    return (elver_event)ELVER_EVENT_INIT;
}
static inline elver_token celver_token(void) {
    return (elver_token)ELVER_TOKEN_INIT;
}
static inline elver_input celver_input(void) {
    return (elver_input)ELVER_INPUT_INIT;
}
static inline elver_answer_options celver_answer_options(void) {
    return (elver_answer_options)ELVER_ANSWER_OPTIONS_INIT;
}
static inline elver_embed_options celver_embed_options(void) {
    return (elver_embed_options)ELVER_EMBED_OPTIONS_INIT;
}
static inline elver_machine celver_machine(void) {
    return (elver_machine)ELVER_MACHINE_INIT;
}
static inline elver_sink celver_sink(void) {
    return (elver_sink)ELVER_SINK_INIT;
}
static inline elver_quantize_options celver_quantize_options(void) {
    return (elver_quantize_options)ELVER_QUANTIZE_OPTIONS_INIT;
}
static inline elver_pack_options celver_pack_options(void) {
    return (elver_pack_options)ELVER_PACK_OPTIONS_INIT;
}
static inline elver_synth_options celver_synth_options(void) {
    return (elver_synth_options)ELVER_SYNTH_OPTIONS_INIT;
}
static inline elver_ops_options celver_ops_options(void) {
    return (elver_ops_options)ELVER_OPS_OPTIONS_INIT;
}
static inline elver_attention_options celver_attention_options(void) {
    return (elver_attention_options)ELVER_ATTENTION_OPTIONS_INIT;
}
static inline elver_router_options celver_router_options(void) {
    return (elver_router_options)ELVER_ROUTER_OPTIONS_INIT;
}
static inline elver_experts celver_experts(void) {
    return (elver_experts)ELVER_EXPERTS_INIT;
}

#endif
