/* elver: language models on the machine in front of you. This header is the whole ABI.
 *
 * A tour: open a model (elver_model_open), see what it will take (elver_model_plan), load it (elver_model_load), open a
 * session (elver_session_open), ask (elver_session_chat), and pull the answer (elver_session_next) until an event says
 * it is over.
 *
 * Every call that can fail returns an elver_status and takes a last parameter for an error object, which may be NULL.
 * What an out parameter receives is yours and has a release function; releasing NULL is allowed. Text is UTF-8 with a
 * length, never NUL-ended unless said. Structs of options begin with struct_size; use their _INIT. Source of the file
 * format: the GGUF specification. */
#ifndef ELVER_H
#define ELVER_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ELVER_API
#else
#define ELVER_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are fixed for ever. */
typedef enum elver_status {
    ELVER_OK = 0,
    ELVER_INVALID_ARGUMENT = 1, /* the caller's value is wrong */
    ELVER_NOT_FOUND = 2,        /* a file, key, tensor or token that is not there */
    ELVER_IO = 3,               /* the system refused a read, write or map */
    ELVER_BAD_FILE = 4,         /* the bytes are not what their format says */
    ELVER_UNSUPPORTED = 5,      /* well-formed, but not something elver can run */
    ELVER_OVER_BUDGET = 6,      /* does not fit in the memory allowed */
    ELVER_OUT_OF_MEMORY = 7,    /* the system refused memory */
    ELVER_CANCELLED = 8,        /* the caller asked to stop */
    ELVER_CONTEXT_FULL = 9,     /* no room for more positions */
    ELVER_MISMATCH = 10,        /* made for another model, version or setting */
    ELVER_BUSY = 11,            /* used by another thread now */
    ELVER_INTERNAL = 12         /* a defect in elver */
} elver_status;

typedef struct elver_error elver_error;
typedef struct elver_model elver_model;
typedef struct elver_session elver_session;
typedef struct elver_tokenizer elver_tokenizer;
/* Text that you own; elver_text_release() it. */
typedef struct elver_text elver_text;
/* Token ids that you own; elver_ids_release() them. */
typedef struct elver_ids elver_ids;

/* The release of the library, "0.1.0"; static. Threads: any. */
ELVER_API const char* elver_version(void);

/* The status of an error, its message and the file, tensor, key or field it speaks of ("" if none); NUL-ended, borrowed
 * until the error is released. NULL is ELVER_OK and "". Threads: any. */
ELVER_API elver_status elver_error_status(const elver_error* error);
ELVER_API const char* elver_error_message(const elver_error* error);
ELVER_API const char* elver_error_object(const elver_error* error);
ELVER_API void elver_error_release(elver_error* error);

/* The bytes of a text (also NUL-ended) and their number; borrowed until it is released. */
ELVER_API const char* elver_text_data(const elver_text* text);
ELVER_API size_t elver_text_size(const elver_text* text);
ELVER_API void elver_text_release(elver_text* text);

/* The ids and their number; borrowed until they are released. */
ELVER_API const int32_t* elver_ids_data(const elver_ids* ids);
ELVER_API size_t elver_ids_size(const elver_ids* ids);
ELVER_API void elver_ids_release(elver_ids* ids);

/* Where bytes come from: exactly one of path, descriptor and memory. */
typedef struct elver_source {
    size_t struct_size;
    const char* path; /* UTF-8, path_size bytes; or NULL */
    size_t path_size;
    int fd; /* an open file, or -1; stays yours and may be closed after the call */
    int reserved;
    uint64_t offset;    /* of the model in the file, bytes */
    uint64_t length;    /* bytes; 0: to the end of the file */
    const void* memory; /* or NULL; must outlive what is opened from it */
    size_t memory_size;
} elver_source;
#define ELVER_SOURCE_INIT \
    { sizeof(elver_source), NULL, 0, -1, 0, 0, 0, NULL, 0 }

/* What a session keeps keys and values as. Numbers are fixed for ever. */
typedef enum elver_cache_type {
    ELVER_CACHE_DEFAULT = 0, /* f16; f32 at the reference level */
    ELVER_CACHE_F32 = 1,
    ELVER_CACHE_F16 = 2,
    ELVER_CACHE_Q8_0 = 3, /* 8 bits and a scale for 32 values: 53 % of f16 */
    ELVER_CACHE_Q4_0 = 4  /* 4 bits and a scale for 32 values: 28 % of f16 */
} elver_cache_type;

typedef struct elver_session_options {
    size_t struct_size;
    int32_t n_ctx;      /* positions; 0: the model's, at most 4096 */
    int32_t max_batch;  /* tokens of a prefill pass; 0: 512 */
    int32_t cache_type; /* an elver_cache_type */
    int32_t reserved;   /* 0 */
} elver_session_options;
#define ELVER_SESSION_OPTIONS_INIT \
    { sizeof(elver_session_options), 0, 0, ELVER_CACHE_DEFAULT, 0 }

typedef struct elver_model_options {
    size_t struct_size;
    int32_t n_threads; /* 0: the physical cores this process may use */
    int32_t reserved;
    uint64_t budget_bytes;         /* refuse a model whose plan for `session` needs more; 0: no limit */
    elver_session_options session; /* what the budget is for */
} elver_model_options;
#define ELVER_MODEL_OPTIONS_INIT \
    { sizeof(elver_model_options), 0, 0, 0, ELVER_SESSION_OPTIONS_INIT }

/* Bytes that a loaded model and one session take, exactly. */
typedef struct elver_plan {
    size_t struct_size;
    uint64_t weights, kv_cache, scratch, total;
    int32_t n_ctx, max_batch; /* what it was made for */
    int32_t cache_type;       /* never ELVER_CACHE_DEFAULT */
    int32_t reserved;         /* 0 */
} elver_plan;
#define ELVER_PLAN_INIT \
    { sizeof(elver_plan), 0, 0, 0, 0, 0, 0, ELVER_CACHE_DEFAULT, 0 }

/* Work done so far, 0 to 1; return 0 to cancel. Called on the thread of the call that takes it. */
typedef int (*elver_progress)(double fraction, void* context);

/* Opens a GGUF model: reads and checks its metadata, tensors' directory, vocabulary and chat template; maps the file.
 * Packs nothing. source, options: borrowed for this call; options may be NULL. out: written only on ELVER_OK: yours,
 * elver_model_release() it. Errors: ELVER_NOT_FOUND, ELVER_IO, ELVER_BAD_FILE, ELVER_UNSUPPORTED, ELVER_OVER_BUDGET
 * (the message says the least that is needed). Threads: any. */
ELVER_API elver_status elver_model_open(const elver_source* source, const elver_model_options* options,
                                        elver_model** out, elver_error** error);
/* Packs the weights for this machine. Needed once, before sessions. Cancelled or failed, nothing stays allocated and it
 * may be called again. Errors: ELVER_CANCELLED, ELVER_OUT_OF_MEMORY. Threads: one at a time for a model. */
ELVER_API elver_status elver_model_load(elver_model* model, elver_progress progress, void* context,
                                        elver_error** error);
/* Sessions keep the model; you may release it before them. */
ELVER_API void elver_model_release(elver_model* model);
/* What the model with one session of these options (NULL: defaults) takes. plan: written only on ELVER_OK. Threads:
 * any. */
ELVER_API elver_status elver_model_plan(const elver_model* model, const elver_session_options* options,
                                        elver_plan* plan, elver_error** error);
ELVER_API int32_t elver_model_n_vocab(const elver_model* model);
ELVER_API int32_t elver_model_n_ctx_train(const elver_model* model);

/* What there is to know of a model, as text you own. */
typedef enum elver_describe {
    ELVER_DESCRIBE_METADATA = 0, /* JSON object: the file's metadata, long arrays cut */
    ELVER_DESCRIBE_TENSORS = 1,  /* JSON array: name, type, shape, bytes */
    ELVER_DESCRIBE_SPEC = 2,     /* JSON object: the architecture as elver understands it */
    ELVER_DESCRIBE_PROGRAM = 3,  /* a line for each phase of the forward pass */
    ELVER_DESCRIBE_TEMPLATE = 4, /* the chat template's source; empty if there is none */
    ELVER_DESCRIBE_MACHINE = 5   /* JSON object: processor, instruction set in use, those available, threads */
} elver_describe;
ELVER_API elver_status elver_model_describe(const elver_model* model, elver_describe what, elver_text** out,
                                            elver_error** error);

/* What this machine can do, measured now with the model's threads and instruction set in about a second. */
typedef struct elver_machine {
    size_t struct_size;
    double dot_ops_per_s;    /* 8-bit multiply-adds count as two operations */
    double read_bytes_per_s; /* of memory, with all threads */
} elver_machine;
#define ELVER_MACHINE_INIT \
    { sizeof(elver_machine), 0, 0 }
ELVER_API elver_status elver_model_measure(const elver_model* model, elver_machine* machine, elver_error** error);

/* A vocabulary: of an open model, or of a file that may hold nothing else. Immutable. Threads: any. */
ELVER_API elver_status elver_model_tokenizer(const elver_model* model, elver_tokenizer** out, elver_error** error);
ELVER_API elver_status elver_tokenizer_open(const elver_source* source, elver_tokenizer** out, elver_error** error);
ELVER_API void elver_tokenizer_release(elver_tokenizer* tokenizer);
/* Ids of a text. add_special: BOS and EOS where the model wants them. parse_special: control tokens spelled in the text
 * become tokens. */
ELVER_API elver_status elver_tokenizer_encode(const elver_tokenizer* tokenizer, const char* text, size_t text_size,
                                              int add_special, int parse_special, elver_ids** out, elver_error** error);
/* Text of ids, whole UTF-8. special: show control tokens. An id that is not in the vocabulary is an error. */
ELVER_API elver_status elver_tokenizer_decode(const elver_tokenizer* tokenizer, const int32_t* ids, size_t n_ids,
                                              int special, elver_text** out, elver_error** error);
/* Renders the chat template that lies beside the vocabulary, as elver_template_render() does. */
ELVER_API elver_status elver_tokenizer_render(const elver_tokenizer* tokenizer, const char* variables,
                                              size_t variables_size, elver_text** out, elver_error** error);

/* Renders a chat template (source text; or NULL for the model's) with variables, a JSON object: messages, tools,
 * documents, add_generation_prompt, ... bos_token and eos_token are the model's unless given. One of model and source
 * may be NULL. */
ELVER_API elver_status elver_template_render(const elver_model* model, const char* source, size_t source_size,
                                             const char* variables, size_t variables_size, elver_text** out,
                                             elver_error** error);

/* A session: a text's positions in the cache. Belongs to one thread at a time: a second one gets ELVER_BUSY. */
ELVER_API elver_status elver_session_open(const elver_model* model, const elver_session_options* options,
                                          elver_session** out, elver_error** error);
ELVER_API void elver_session_release(elver_session* session);
/* Positions filled, and the most there can be. */
ELVER_API int32_t elver_session_position(const elver_session* session);
ELVER_API int32_t elver_session_n_ctx(const elver_session* session);
/* Stops the call that is running in the session, or the next one, within a layer's work. The session stays usable, at
 * its last whole position. The only call that may come from any thread at any time. */
ELVER_API void elver_session_cancel(elver_session* session);
/* Called for each token of a prefill with its n_vocab logits, borrowed for the call. */
typedef void (*elver_on_logits)(size_t index, const float* logits, size_t n_vocab, void* context);
/* Appends tokens. on_logits may be NULL. Errors: ELVER_INVALID_ARGUMENT (an id), ELVER_CONTEXT_FULL, ELVER_CANCELLED.
 */
ELVER_API elver_status elver_session_prefill(elver_session* session, const int32_t* ids, size_t n_ids,
                                             elver_on_logits on_logits, void* context, elver_error** error);
/* Logits after the last token, [n_vocab], borrowed until the next call in the session; NULL when there are none. */
ELVER_API const float* elver_session_logits(const elver_session* session);
/* Goes back to a position, 0 to the present one. */
ELVER_API elver_status elver_session_rewind(elver_session* session, int32_t position, elver_error** error);

/* Begins an answer to a chat request, JSON shaped as the OpenAI chat API: messages, tools, temperature, top_p, top_k,
 * min_p, max_tokens, stop, seed, logit_bias, presence_penalty, frequency_penalty, repetition_penalty, logprobs,
 * top_logprobs. Unknown keys are errors. What the session holds already is kept as far as the conversation is the same.
 * progress may be NULL. Then call elver_session_next(). */
ELVER_API elver_status elver_session_chat(elver_session* session, const char* request, size_t request_size,
                                          elver_progress progress, void* context, elver_error** error);
/* Begins a continuation: the same keys, and instead of messages "prompt" (text) or "ids" (token ids), "ignore_eos". */
ELVER_API elver_status elver_session_complete(elver_session* session, const char* request, size_t request_size,
                                              elver_progress progress, void* context, elver_error** error);

typedef enum elver_finish {
    ELVER_FINISH_NONE = 0,     /* more to come */
    ELVER_FINISH_STOP = 1,     /* the model ended its answer, or a stop string came */
    ELVER_FINISH_LENGTH = 2,   /* max_tokens, or the context is full */
    ELVER_FINISH_CANCELLED = 3 /* elver_session_cancel() */
} elver_finish;

typedef struct elver_logprob {
    int32_t id;
    float logprob;
} elver_logprob;

typedef struct elver_event {
    size_t struct_size;
    const char* text; /* whole UTF-8, may be empty; borrowed until the next call in the session */
    size_t text_size;
    int32_t id; /* the token, or -1 */
    elver_finish finish;
    float logprob;  /* where the request asked for it */
    uint32_t n_top; /* alternatives, most likely first; borrowed as text is */
    const elver_logprob* top;
} elver_event;
#define ELVER_EVENT_INIT \
    { sizeof(elver_event), NULL, 0, -1, ELVER_FINISH_NONE, 0, 0, NULL }

/* The next token of the answer, or its end: an event with finish other than ELVER_FINISH_NONE is the last. event:
 * written only on ELVER_OK. */
ELVER_API elver_status elver_session_next(elver_session* session, elver_event* event, elver_error** error);

#ifdef __cplusplus
}
#endif

#endif
