/* Every function of elver.h, called with NULL or nonsense in each place: an error of the right kind, never a crash. */
#include "arguments.h"

#include <elver/elver.h>

static int take_nothing(const void* bytes, size_t n_bytes, void* context) {
    (void)bytes, (void)n_bytes, (void)context;
    return 0;
}

int wrong_arguments(const char* path, char* log, size_t log_size) {
    elver_source source = ELVER_SOURCE_INIT;
    elver_source empty = ELVER_SOURCE_INIT;
    elver_model_options bad_options = ELVER_MODEL_OPTIONS_INIT;
    elver_session_options bad_session = ELVER_SESSION_OPTIONS_INIT;
    elver_prefill_options bad_prefill = ELVER_PREFILL_OPTIONS_INIT;
    elver_plan plan = ELVER_PLAN_INIT, bad_plan = ELVER_PLAN_INIT;
    elver_machine machine = ELVER_MACHINE_INIT, bad_machine = ELVER_MACHINE_INIT;
    elver_event event = ELVER_EVENT_INIT, bad_event = ELVER_EVENT_INIT;
    elver_model* model = NULL;
    elver_tokenizer* tokenizer = NULL;
    elver_session* session = NULL;
    elver_text* out = NULL;
    elver_ids* ids = NULL;
    const int32_t some[2] = {1, 2};
    float embedding[30];
    elver_session* fork = NULL;
    elver_sink sink = ELVER_SINK_INIT, no_sink = ELVER_SINK_INIT, bad_sink = ELVER_SINK_INIT;
    begin_log(log, log_size);
    source.path = path;
    source.path_size = strlen(path);
    bad_options.struct_size = 1;
    bad_session.struct_size = 0;
    bad_prefill.struct_size = (size_t)-1;
    bad_plan.struct_size = 3;
    bad_machine.struct_size = 3;
    bad_event.struct_size = 5000;
    sink.write = take_nothing;
    bad_sink.struct_size = 2;

    EQUAL(elver_error_status(NULL), ELVER_OK);
    EQUAL(strcmp(elver_error_message(NULL), ""), 0);
    EQUAL(strcmp(elver_error_object(NULL), ""), 0);
    EQUAL(strcmp(elver_text_data(NULL), ""), 0);
    EQUAL(elver_text_size(NULL), 0);
    EQUAL(elver_ids_data(NULL) == NULL, 1);
    EQUAL(elver_ids_size(NULL), 0);
    EQUAL(elver_model_n_vocab(NULL), 0);
    EQUAL(elver_model_n_ctx_train(NULL), 0);
    EQUAL(elver_model_width(NULL), 0);
    EQUAL(strcmp(elver_version(), "") != 0, 1);
    EQUAL(elver_tokenizer_n_vocab(NULL), 0);
    EQUAL(elver_tokenizer_is_end(NULL, 0), 0);
    EQUAL(elver_session_position(NULL), 0);
    EQUAL(elver_session_n_ctx(NULL), 0);
    EQUAL(elver_session_model(NULL) == NULL, 1);
    size_t n_logits = 1;
    EQUAL(elver_session_logits(NULL, &n_logits) == NULL, 1);
    EQUAL(n_logits, 0);
    EQUAL(elver_session_logits(NULL, NULL) == NULL, 1);
    elver_error_release(NULL);
    elver_text_release(NULL);
    elver_ids_release(NULL);
    elver_model_release(NULL);
    elver_tokenizer_release(NULL);
    elver_session_release(NULL);
    elver_session_cancel(NULL);

    INVALID(elver_model_open(NULL, NULL, &model, error), "source");
    INVALID(elver_model_open(&empty, NULL, &model, error), "source");
    INVALID(elver_model_open(&source, &bad_options, &model, error), "elver_model_options");
    INVALID(elver_model_open(&source, NULL, NULL, error), "out");
    INVALID(elver_tokenizer_open(NULL, &tokenizer, error), "source");
    INVALID(elver_tokenizer_open(&empty, &tokenizer, error), "source");
    INVALID(elver_tokenizer_open(&source, NULL, error), "out");
    INVALID(elver_machine_describe(NULL, error), "out");
    if (elver_model_open(&source, NULL, &model, NULL) != ELVER_OK) return note("open", 0, NULL), wrong_calls();

    INVALID(elver_model_load(NULL, NULL, NULL, error), "model");
    INVALID(elver_model_plan(NULL, NULL, &plan, error), "model");
    INVALID(elver_model_plan(model, &bad_session, &plan, error), "elver_session_options");
    INVALID(elver_model_plan(model, NULL, NULL, error), "plan");
    INVALID(elver_model_plan(model, NULL, &bad_plan, error), "elver_plan");
    INVALID(elver_model_describe(NULL, ELVER_DESCRIBE_SPEC, &out, error), "model");
    INVALID(elver_model_describe(model, (elver_describe)6, &out, error), "what");
    INVALID(elver_model_describe(model, (elver_describe)-1, &out, error), "what");
    INVALID(elver_model_describe(model, (elver_describe)0x7fffffff, &out, error), "found 2147483647");
    INVALID(elver_model_describe(model, ELVER_DESCRIBE_SPEC, NULL, error), "out");
    INVALID(elver_model_measure(NULL, &machine, error), "model");
    INVALID(elver_model_measure(model, NULL, error), "machine");
    INVALID(elver_model_measure(model, &bad_machine, error), "elver_machine");
    INVALID(elver_model_tokenizer(NULL, &tokenizer, error), "model");
    INVALID(elver_model_tokenizer(model, NULL, error), "out");
    INVALID(elver_session_open(NULL, NULL, &session, error), "model");
    INVALID(elver_session_open(model, NULL, &session, error), "not loaded");
    if (elver_model_load(model, NULL, NULL, NULL) != ELVER_OK) return note("load", 0, NULL), wrong_calls();
    INVALID(elver_session_open(model, &bad_session, &session, error), "elver_session_options");
    INVALID(elver_session_open(model, NULL, NULL, error), "out");

    if (elver_model_tokenizer(model, &tokenizer, NULL) != ELVER_OK) return note("tokenizer", 0, NULL), wrong_calls();
    INVALID(elver_tokenizer_encode(NULL, "a", 1, 0, 0, &ids, error), "tokenizer");
    INVALID(elver_tokenizer_encode(tokenizer, NULL, 1, 0, 0, &ids, error), "text");
    INVALID(elver_tokenizer_encode(tokenizer, "a", 1, 0, 0, NULL, error), "out");
    INVALID(elver_tokenizer_decode(NULL, some, 2, 0, &out, error), "tokenizer");
    INVALID(elver_tokenizer_decode(tokenizer, NULL, 2, 0, &out, error), "ids");
    INVALID(elver_tokenizer_decode(tokenizer, some, 2, 0, NULL, error), "out");
    INVALID(elver_tokenizer_render(NULL, "{}", 2, &out, error), "tokenizer");
    INVALID(elver_tokenizer_render(tokenizer, NULL, 2, &out, error), "variables");
    INVALID(elver_tokenizer_render(tokenizer, "{}", 2, NULL, error), "out");
    INVALID(elver_template_render(NULL, NULL, 0, "{}", 2, &out, error), "model");
    INVALID(elver_template_render(model, "a", 1, NULL, 2, &out, error), "variables");
    INVALID(elver_template_render(model, "a", 1, "{}", 2, NULL, error), "out");

    if (elver_session_open(model, NULL, &session, NULL) != ELVER_OK) return note("session", 0, NULL), wrong_calls();
    INVALID(elver_session_prefill(NULL, some, 2, NULL, error), "session");
    INVALID(elver_session_prefill(session, NULL, 2, NULL, error), "ids");
    INVALID(elver_session_prefill(session, some, 2, &bad_prefill, error), "elver_prefill_options");
    INVALID(elver_embed(NULL, ELVER_POOLING_MEAN, some, 2, embedding, 30, error), "session");
    INVALID(elver_embed(session, ELVER_POOLING_MEAN, NULL, 2, embedding, 30, error), "ids");
    INVALID(elver_embed(session, ELVER_POOLING_MEAN, some, 2, NULL, 30, error), "out");
    INVALID(elver_embed(session, ELVER_POOLING_MEAN, some, 2, embedding, 29, error), "29");
    INVALID(elver_embed(session, (elver_pooling)9, some, 2, embedding, 30, error), "pooling");
    INVALID(elver_session_rewind(NULL, 0, error), "session");
    INVALID(elver_session_rewind(session, -1, error), "rewind");
    INVALID(elver_session_rewind(session, 0x7fffffff, error), "rewind");
    INVALID(elver_session_chat(NULL, "{}", 2, NULL, NULL, error), "session");
    INVALID(elver_session_chat(session, NULL, 2, NULL, NULL, error), "request");
    INVALID(elver_session_complete(NULL, "{}", 2, NULL, NULL, error), "session");
    INVALID(elver_session_complete(session, NULL, 2, NULL, NULL, error), "request");
    INVALID(elver_session_next(NULL, &event, error), "session");
    INVALID(elver_session_next(session, NULL, error), "event");
    INVALID(elver_session_next(session, &bad_event, error), "elver_event");
    INVALID(elver_session_next(session, &event, error), "no answer was begun");
    INVALID(elver_session_save(NULL, &sink, error), "session");
    INVALID(elver_session_save(session, NULL, error), "sink");
    INVALID(elver_session_save(session, &no_sink, error), "sink");
    INVALID(elver_session_save(session, &bad_sink, error), "elver_sink");
    INVALID(elver_session_restore(NULL, &source, error), "session");
    INVALID(elver_session_restore(session, NULL, error), "source");
    INVALID(elver_session_restore(session, &empty, error), "source");
    INVALID(elver_session_fork(NULL, NULL, NULL, &fork, error), "session");
    INVALID(elver_session_fork(session, NULL, NULL, NULL, error), "out");
    INVALID(elver_model_pack(NULL, &sink, NULL, NULL, error), "model");
    INVALID(elver_model_pack(model, NULL, NULL, NULL, error), "sink");
    INVALID(elver_model_pack(model, &no_sink, NULL, NULL, error), "sink");
    INVALID(elver_model_pack(model, &bad_sink, NULL, NULL, error), "elver_sink");
    INVALID(elver_quantize_file(NULL, "out", 3, "Q8_0", 4, 0, NULL, NULL, error), "source");
    INVALID(elver_quantize_file(&empty, "out", 3, "Q8_0", 4, 0, NULL, NULL, error), "source");
    INVALID(elver_quantize_file(&source, NULL, 3, "Q8_0", 4, 0, NULL, NULL, error), "path");
    INVALID(elver_quantize_file(&source, "out", 0, "Q8_0", 4, 0, NULL, NULL, error), "path");
    INVALID(elver_quantize_file(&source, "out", 3, NULL, 4, 0, NULL, NULL, error), "type");
    INVALID(elver_quantize_file(&source, "out", 3, "Q9", 2, 0, NULL, NULL, error), "Q9");
    INVALID(elver_quantize_file(&source, "out", 3, "Q8_0", 4, -1, NULL, NULL, error), "n_threads");
    INVALID(elver_synth_write(NULL, 4, 0, &sink, NULL, NULL, error), "name");
    INVALID(elver_synth_write("ant:q8_0", 8, 0, &sink, NULL, NULL, error), "ant");
    INVALID(elver_synth_write("llama-1b:q8_0", 13, -1, &sink, NULL, NULL, error), "n_layers");
    INVALID(elver_synth_write("llama-1b:q8_0", 13, 1, NULL, NULL, NULL, error), "sink");
    INVALID(elver_synth_write("llama-1b:q8_0", 13, 1, &no_sink, NULL, NULL, error), "sink");
    EQUAL(elver_session_save(session, &sink, NULL), ELVER_IO);
    EQUAL(elver_session_prefill(session, NULL, 0, NULL, NULL), ELVER_OK);
    EQUAL(elver_session_prefill(session, some, 2, NULL, NULL), ELVER_OK);

    elver_session_release(session);
    elver_tokenizer_release(tokenizer);
    elver_model_release(model);
    return wrong_calls();
}
