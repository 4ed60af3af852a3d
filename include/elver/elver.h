/** @file
 *  elver: language models on the machine in front of you. This header is the ABI; operations on tensors stand in
 *  elver_ops.h, and what may still change before version 1.0 in elver_experimental.h.
 *
 *  A tour: open a model (elver_model_open), see what it will take (elver_model_plan) or what there is room for
 *  (elver_model_fit), load it (elver_model_load), open a session (elver_session_open), ask (elver_session_chat), and
 *  pull the answer (elver_session_next) until an event says that it is over.
 *
 *  What holds everywhere:
 *  - A call that can fail returns an elver_status and takes an error last. `error` may be NULL; else it is written only
 *    on failure: an error you own; elver_error_release() it. (Where there is no memory even for that, it is NULL.)
 *  - NULL where a pointer is needed, or a number out of range, is ELVER_INVALID_ARGUMENT, and the error names it. Every
 *    such call may also return ELVER_OUT_OF_MEMORY or ELVER_INTERNAL.
 *  - An out parameter is written only on ELVER_OK. What it receives is yours and has a release function, which takes
 *    NULL too. What a function returns directly is borrowed.
 *  - Text is UTF-8 with a size in bytes, and needs no NUL unless said. What you give is borrowed for the call, unless
 *    it is said for how much longer.
 *  - A struct begins with struct_size; initialise it with its _INIT. A smaller one is an older host's: what it lacks
 *    has its default. A larger one is a newer host's: what elver does not know must be zero. Reserved fields are zero.
 *  - A function that you give may call elver, but not with the handle that is at work: that is ELVER_BUSY.
 *  - "Threads: any" means at any time from any thread, also while other calls run on the same handle. */
#ifndef ELVER_H
#define ELVER_H

#include <stddef.h>
#include <stdint.h>

/** The release that this header belongs to; elver_version_number() is the library's. */
#define ELVER_VERSION_MAJOR 0
#define ELVER_VERSION_MINOR 1
#define ELVER_VERSION_PATCH 0
/** As one number, for comparisons: 1002003 is 1.2.3. */
#define ELVER_VERSION_NUMBER (ELVER_VERSION_MAJOR * 1000000 + ELVER_VERSION_MINOR * 1000 + ELVER_VERSION_PATCH)

/** Marks what the library exports. Define ELVER_STATIC where the static library is linked. */
#if defined(_WIN32) && defined(ELVER_BUILDING)
#define ELVER_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(ELVER_STATIC)
#define ELVER_API __declspec(dllimport)
#elif defined(_WIN32)
#define ELVER_API
#else
#define ELVER_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ errors and text */

/** How a call ended. Numbers are fixed for ever. Since: 0.1. */
typedef enum elver_status {
    ELVER_OK = 0,
    ELVER_INVALID_ARGUMENT = 1, /**< the caller's value is wrong */
    ELVER_NOT_FOUND = 2,        /**< a file, key, tensor or token that is not there */
    ELVER_IO = 3,               /**< the system refused a read, write or map */
    ELVER_BAD_FILE = 4,         /**< the bytes are not what their format says */
    ELVER_UNSUPPORTED = 5,      /**< well-formed, but not something elver can run */
    ELVER_OVER_BUDGET = 6,      /**< does not fit in the memory allowed */
    ELVER_OUT_OF_MEMORY = 7,    /**< the system refused memory or a thread */
    ELVER_CANCELLED = 8,        /**< the caller asked to stop */
    ELVER_CONTEXT_FULL = 9,     /**< no room for more positions */
    ELVER_MISMATCH = 10,        /**< made for another model, version or setting */
    ELVER_BUSY = 11,            /**< used by another thread now */
    ELVER_INTERNAL = 12         /**< a defect in elver, or an exception out of a callback */
} elver_status;

/** What went wrong. Immutable. */
typedef struct elver_error elver_error;
/** A model file, opened; after elver_model_load() ready to run. Shared by its sessions, which keep it. */
typedef struct elver_model elver_model;
/** A text's positions in a model's cache, and the answer that continues it. */
typedef struct elver_session elver_session;
/** A vocabulary: text to token ids and back. Immutable. */
typedef struct elver_tokenizer elver_tokenizer;
/** Threads that models share. */
typedef struct elver_threads elver_threads;
/** Text that you own; elver_text_release() it. Immutable. */
typedef struct elver_text elver_text;
/** Token ids that you own; elver_ids_release() them. Immutable. */
typedef struct elver_ids elver_ids;
/** Turns tokens that come one by one into whole characters. */
typedef struct elver_detokenizer elver_detokenizer;

/** @return The release of the library, as "0.1.0"; static. Threads: any. Since: 0.1. */
ELVER_API const char* elver_version(void);
/** @return The same as ELVER_VERSION_NUMBER counts. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_version_number(void);

/** @return The error's status; ELVER_OK of NULL. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_error_status(const elver_error* error);
/** @return One line that names the thing, what was expected and what was found. UTF-8, NUL-ended, borrowed until the
 *  error is released; "" of NULL. Threads: any. Since: 0.1. */
ELVER_API const char* elver_error_message(const elver_error* error);
/** @return The file, tensor, key or argument that the error speaks of, or "". UTF-8, NUL-ended, borrowed until the
 *  error is released; "" of NULL. Threads: any. Since: 0.1. */
ELVER_API const char* elver_error_object(const elver_error* error);
/** Releases an error; NULL is allowed. Threads: any, once. Since: 0.1. */
ELVER_API void elver_error_release(elver_error* error);

/** @return The text's bytes: valid UTF-8, also NUL-ended, borrowed until it is released; "" of NULL. Threads: any.
 *  Since: 0.1. */
ELVER_API const char* elver_text_data(const elver_text* text);
/** @return Its size in bytes, the NUL not counted; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API size_t elver_text_size(const elver_text* text);
/** Releases a text; NULL is allowed. Threads: any, once. Since: 0.1. */
ELVER_API void elver_text_release(elver_text* text);

/** @return The ids, [elver_ids_size()], borrowed until they are released; NULL of NULL. Threads: any. Since: 0.1. */
ELVER_API const int32_t* elver_ids_data(const elver_ids* ids);
/** @return Their number; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API size_t elver_ids_size(const elver_ids* ids);
/** Releases ids; NULL is allowed. Threads: any, once. Since: 0.1. */
ELVER_API void elver_ids_release(elver_ids* ids);

/* ---------------------------------------------------------------------------------------------------------- files */

/** Where bytes come from: exactly one of path, descriptor and memory. */
typedef struct elver_source {
    size_t struct_size;
    /** UTF-8; or NULL. Of a model in parts (NAME-00001-of-00003.gguf) any part, beside which the others are found. */
    const char* path;
    size_t path_size;   /**< bytes */
    int32_t fd;         /**< an open regular file, or -1; stays yours and may be closed after the call */
    int32_t reserved;   /**< 0 */
    uint64_t offset;    /**< with fd: where the model begins, bytes */
    uint64_t length;    /**< with fd: its bytes; 0: to the end of the file */
    const void* memory; /**< or NULL; borrowed until all that was opened from it is released */
    size_t memory_size; /**< bytes */
} elver_source;
#define ELVER_SOURCE_INIT \
    { sizeof(elver_source), NULL, 0, -1, 0, 0, 0, NULL, 0 }

/** Where bytes go: exactly one of path, descriptor and function.
 *  A path's file appears, or takes the place of one that was there, when it is complete and on the disk. After an error
 *  nothing of it remains, nor after a kill where the file system has files without a name (Linux). A file that was
 *  there must be writable and keeps its permissions. Symbolic links are followed. A pipe or a character device is
 *  written straight through (a pipe waits some seconds for a reader); anything else, as a folder, is
 *  ELVER_INVALID_ARGUMENT. */
typedef struct elver_sink {
    size_t struct_size;
    const char* path; /**< UTF-8; or NULL */
    size_t path_size; /**< bytes */
    int32_t fd;       /**< an open file, or -1; stays yours */
    int32_t reserved; /**< 0 */
    /** Takes the next bytes, borrowed for the call; answers 0 if it cannot. NULL if unused. */
    int (*write)(const void* bytes, size_t n_bytes, void* context);
    void* context; /**< given to write */
} elver_sink;
#define ELVER_SINK_INIT \
    { sizeof(elver_sink), NULL, 0, -1, 0, NULL, NULL }

/** Work done so far, and whether to go on. Called on the thread of the call that takes it.
 *  @param fraction 0 to 1, never falling.
 *  @param context  What was given beside the function.
 *  @return Nonzero to go on, 0 to cancel the call.
 *  Of the handle that is at work it may use elver_session_cancel() alone. It should not throw: an exception cancels the
 *  call, which returns ELVER_INTERNAL. */
typedef int (*elver_progress)(double fraction, void* context);

/* ---------------------------------------------------------------------------------------------- threads and the log */

/** Starts threads for several models to share, by elver_model_options: one model makes a pass at a time, each in turn.
 *  For a function that is called from within a pass they are one model.
 *  @param n_threads 1 to 1024, the thread of a call included; 0: the physical cores that this process may use.
 *  @param out       Written only on ELVER_OK: threads you own; elver_threads_release() them, also while models use
 *                   them, which keep them.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_OUT_OF_MEMORY. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_threads_create(int32_t n_threads, elver_threads** out, elver_error** error);
/** @return How many; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_threads_count(const elver_threads* threads);
/** Releases threads; NULL is allowed. Threads: any, once. Since: 0.1. */
ELVER_API void elver_threads_release(elver_threads* threads);

/** How much a line of the log matters. Numbers are fixed for ever. */
typedef enum elver_log_level {
    ELVER_LOG_DEBUG = 0,  /**< what happens while texts are computed: one is set aside, ... */
    ELVER_LOG_INFO = 1,   /**< what was chosen: kernels, threads, tensors that are left out, ... */
    ELVER_LOG_WARNING = 2 /**< what you should know although the call succeeds */
} elver_log_level;

/** Takes a line of a model's log, which is written nowhere else. Called on the thread of the call that the line is
 *  about, and so by several at once.
 *  @param level   An elver_log_level.
 *  @param line    UTF-8, NUL-ended, without a newline. Borrowed until it returns.
 *  @param size    Bytes of it.
 *  @param context What was given beside the function. */
typedef void (*elver_log)(int32_t level, const char* line, size_t size, void* context);

/* ---------------------------------------------------------------------------------------------------------- models */

/** What a session keeps keys and values as. Numbers are fixed for ever. */
typedef enum elver_cache_type {
    ELVER_CACHE_DEFAULT = 0, /**< f16; f32 at the reference level */
    ELVER_CACHE_F32 = 1,
    ELVER_CACHE_F16 = 2,
    ELVER_CACHE_Q8_0 = 3, /**< 8 bits and a scale for 32 values: 53 % of f16 */
    ELVER_CACHE_Q4_0 = 4  /**< 4 bits and a scale for 32 values: 28 % of f16 */
} elver_cache_type;

/** What an answer does when the context is full. Numbers are fixed for ever. */
typedef enum elver_context_policy {
    ELVER_CONTEXT_STOP = 0, /**< it ends, with ELVER_FINISH_LENGTH */
    ELVER_CONTEXT_SLIDE = 1 /**< the text drops its older half, n_keep tokens aside, and the rest is computed anew */
} elver_context_policy;

/** Whether a call is to go on: a language's own way to interrupt (signals of Python, the interrupt of a Java thread).
 *  Asked on the thread of the call while it works in the session, at least once a layer. It should be quick and should
 *  not throw: an exception stops the call. Calls in this session and in others of the same model, or of one that shares
 *  its threads, return ELVER_BUSY in it, but for elver_session_cancel().
 *  @param context What was given beside the function.
 *  @return Nonzero to go on; 0 stops that call as elver_session_cancel() does. */
typedef int (*elver_go_on)(void* context);

/** How large a session is, what becomes of it, and who may interrupt it. */
typedef struct elver_session_options {
    size_t struct_size;
    int32_t n_ctx;          /**< positions; 0: the model's, at most 4096 */
    int32_t max_batch;      /**< tokens of a prefill pass; 0: 512 */
    int32_t cache_type;     /**< an elver_cache_type */
    int32_t priority;       /**< a session of a higher one goes first, and gives up its pages last */
    int32_t context_policy; /**< an elver_context_policy */
    int32_t n_keep; /**< tokens at the beginning that ELVER_CONTEXT_SLIDE keeps; one that begins every text is kept */
    elver_go_on go_on; /**< NULL, or asked while a call works in the session */
    void* context;     /**< given to go_on; both must outlive the session */
} elver_session_options;
#define ELVER_SESSION_OPTIONS_INIT \
    { sizeof(elver_session_options), 0, 0, ELVER_CACHE_DEFAULT, 0, ELVER_CONTEXT_STOP, 0, NULL, NULL }

/** How a model is opened. */
typedef struct elver_model_options {
    size_t struct_size;
    int32_t n_threads;      /**< 1 to 1024; 0: the physical cores that this process may use, or those below */
    int32_t pass_tokens;    /**< the most tokens of a pass; 0: the largest max_batch of the open sessions */
    elver_threads* threads; /**< that other models use too; NULL: threads of its own */
    uint64_t budget_bytes;  /**< refuse a model that needs more for itself and one session; 0: no limit */
    const elver_session_options* session; /**< that session; NULL: defaults */
    uint64_t page_bytes;   /**< the most that all sessions' pages take; 0: as much as those that are open may need */
    elver_log log;         /**< NULL, or takes the lines of the log for as long as the model or a session of it lives */
    void* log_context;     /**< given to log */
    int32_t pass_sessions; /**< the most sessions of a pass; 0: all that wait */
    float prompt_gap;      /**< how many times as long a token may take beside prompts of others, 1 to 1000; 0: 2.2 */
} elver_model_options;
#define ELVER_MODEL_OPTIONS_INIT \
    { sizeof(elver_model_options), 0, 0, NULL, 0, NULL, 0, NULL, NULL, 0, 0 }

/** Opens a GGUF model: reads and checks its metadata, tensors' directory, vocabulary and chat template; maps its
 *  weights. Does not pack them: see elver_model_load().
 *  @param source  A path's file may be replaced or removed later, but not shrunk in place.
 *  @param options NULL for defaults.
 *  @param out     Written only on ELVER_OK: a model you own; elver_model_release() it.
 *  @return ELVER_OK; ELVER_NOT_FOUND; ELVER_IO; ELVER_BAD_FILE (the error names the key or tensor); ELVER_UNSUPPORTED;
 *  ELVER_OVER_BUDGET (the error says the least that the session asked for needs, and the least of any session);
 *  ELVER_INVALID_ARGUMENT.
 *  Threads: any. Since: 0.1. Source: the GGUF specification, versions 2 and 3. */
ELVER_API elver_status elver_model_open(const elver_source* source, const elver_model_options* options,
                                        elver_model** out, elver_error** error);

/** Packs the weights for this machine's kernels: once, before sessions. On a loaded model it does nothing. Failed or
 *  cancelled it leaves nothing allocated, and may be called again.
 *  @param progress NULL, or called every few MiB; see elver_progress.
 *  @param context  Given to progress.
 *  @return ELVER_OK; ELVER_CANCELLED; ELVER_OUT_OF_MEMORY; ELVER_BUSY (another thread loads it now).
 *  Threads: any; while it runs, calls that need the weights or their plan return ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_model_load(elver_model* model, elver_progress progress, void* context,
                                        elver_error** error);

/** Releases a model; NULL is allowed. Its sessions and tokenizers keep what they need and may be released later.
 *  Threads: any, once, and after every other call on it has returned. Since: 0.1. */
ELVER_API void elver_model_release(elver_model* model);

/** Bytes that a loaded model and one session take, exactly. */
typedef struct elver_plan {
    size_t struct_size;
    uint64_t weights;       /**< bytes, shared by all sessions */
    uint64_t kv_cache;      /**< bytes of each session, when its context is full */
    uint64_t scratch;       /**< bytes, shared by all sessions, and of the session's last logits */
    uint64_t total;         /**< their sum */
    int32_t n_ctx;          /**< positions that it was made for */
    int32_t max_batch;      /**< tokens of a prefill pass that it was made for */
    int32_t cache_type;     /**< an elver_cache_type, never ELVER_CACHE_DEFAULT */
    int32_t reserved;       /**< 0 */
    uint64_t token_weights; /**< bytes of weights that a pass of one token reads: of experts, those chosen */
} elver_plan;
#define ELVER_PLAN_INIT \
    { sizeof(elver_plan), 0, 0, 0, 0, 0, 0, ELVER_CACHE_DEFAULT, 0, 0 }

/** What a model with one session takes. The model need not be loaded.
 *  @param options Of that session; NULL for defaults.
 *  @param plan    Initialised with ELVER_PLAN_INIT; the rest is written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_BUSY (another thread loads the model now).
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_model_plan(const elver_model* model, const elver_session_options* options,
                                        elver_plan* plan, elver_error** error);

/** What a budget has room for. */
typedef struct elver_fit {
    size_t struct_size;
    uint64_t total;     /**< bytes that the model and these sessions take */
    uint64_t least;     /**< bytes of the least that was asked for: with more than the budget nothing fits */
    int32_t n_ctx;      /**< positions of each session; 0: nothing fits */
    int32_t n_sessions; /**< how many; 0: nothing fits */
} elver_fit;
#define ELVER_FIT_INIT \
    { sizeof(elver_fit), 0, 0, 0, 0 }

/** The largest context, or the most sessions, that a budget has room for, exactly. The model need not be loaded.
 *  @param options    Of each session; NULL for defaults. Its n_ctx 0: the largest context is looked for, up to the
 *                    model's own.
 *  @param n_sessions 0: one where the context is looked for, else as many as there is room for.
 *  @param fit        Initialised with ELVER_FIT_INIT; the rest is written only on ELVER_OK.
 *  @return ELVER_OK, also where nothing fits; ELVER_INVALID_ARGUMENT; ELVER_BUSY (another thread loads the model now).
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_model_fit(const elver_model* model, uint64_t budget_bytes,
                                       const elver_session_options* options, int32_t n_sessions, elver_fit* fit,
                                       elver_error** error);

/** @return The size of the vocabulary that the model's logits are over; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_model_n_vocab(const elver_model* model);
/** @return The width of the model's hidden states and embeddings; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_model_width(const elver_model* model);
/** @return The positions that the model was trained for; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_model_n_ctx_train(const elver_model* model);

/** What there is to know of a model. Numbers are fixed for ever. */
typedef enum elver_describe {
    ELVER_DESCRIBE_METADATA = 0, /**< JSON object: the file's metadata, long arrays cut */
    ELVER_DESCRIBE_TENSORS = 1,  /**< JSON array of objects: name, type, shape (outermost first), bytes */
    ELVER_DESCRIBE_SPEC = 2,     /**< JSON object: the architecture as elver understands it */
    ELVER_DESCRIBE_PROGRAM = 3,  /**< a line for each phase of the forward pass */
    ELVER_DESCRIBE_TEMPLATE = 4, /**< the chat template's source; empty if there is none */
    ELVER_DESCRIBE_MACHINE = 5   /**< JSON object: as elver_machine_describe(), with the threads and "isa" in use */
} elver_describe;

/** Describes a model. It need not be loaded.
 *  @param out   Written only on ELVER_OK: a text you own; elver_text_release() it.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_BUSY (another thread loads the model now).
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_model_describe(const elver_model* model, elver_describe what, elver_text** out,
                                            elver_error** error);

/** In which type a model is written. */
typedef struct elver_quantize_options {
    size_t struct_size;
    /** "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"
     *  or "MXFP4", in any case. */
    const char* type;
    size_t type_size;        /**< bytes */
    int32_t n_threads;       /**< 1 to 1024; 0: the physical cores that this process may use */
    int32_t reserved;        /**< 0 */
    elver_progress progress; /**< NULL, or called every few MiB */
    void* context;           /**< given to progress */
} elver_quantize_options;
#define ELVER_QUANTIZE_OPTIONS_INIT \
    { sizeof(elver_quantize_options), NULL, 0, 0, 0, NULL, NULL }

/** Writes a GGUF model with its matrices in another element type, least in squared error. Vectors, experts' routers and
 *  the metadata stay as they are; rows whose length is no multiple of the type's block take the nearest type that fits.
 *  A number that is not finite, or beyond the range of its new type, is an error that names the tensor; none is
 *  clipped. A model in parts becomes one file.
 *  @param sink A path may be the source's own.
 *  @return ELVER_OK; ELVER_NOT_FOUND; ELVER_IO; ELVER_BAD_FILE (the error names the key or tensor); ELVER_UNSUPPORTED;
 *  ELVER_CANCELLED; ELVER_INVALID_ARGUMENT.
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_model_quantize(const elver_source* source, const elver_sink* sink,
                                            const elver_quantize_options* options, elver_error** error);

/* --------------------------------------------------------------------------------------------------------- machine */

/** Describes this machine, without a model: a JSON object of "processor" (its name), "usable_cores" (physical cores
 *  that this process may use), "isa" (the instruction-set level that a model opened now would run on, best first unless
 *  the environment variable ELVER_FORCE_ISA names another) and "available_isas" (a list).
 *  @param out   Written only on ELVER_OK: a text you own; elver_text_release() it.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED (ELVER_FORCE_ISA names what is not here).
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_machine_describe(elver_text** out, elver_error** error);

/* ------------------------------------------------------------------------------------------------------ vocabulary */

/** The vocabulary of an open model.
 *  @param out   Written only on ELVER_OK: a tokenizer you own; elver_tokenizer_release() it. It keeps the model.
 *  @param error NULL, or written only on failure: an error you own; elver_error_release() it.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_model_tokenizer(const elver_model* model, elver_tokenizer** out, elver_error** error);

/** The vocabulary, and chat template, of a GGUF file that may hold nothing else.
 *  @param source As elver_model_open()'s.
 *  @param out    Written only on ELVER_OK: a tokenizer you own; elver_tokenizer_release() it.
 *  @param error  NULL, or written only on failure: an error you own; elver_error_release() it.
 *  @return ELVER_OK; ELVER_NOT_FOUND; ELVER_IO; ELVER_BAD_FILE; ELVER_UNSUPPORTED; ELVER_INVALID_ARGUMENT.
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_tokenizer_open(const elver_source* source, elver_tokenizer** out, elver_error** error);

/** Releases a tokenizer; NULL is allowed. Threads: any, once, and after every other call on it has returned.
 *  Since: 0.1. */
ELVER_API void elver_tokenizer_release(elver_tokenizer* tokenizer);

/** @return The number of tokens: ids are 0 to that less 1. 0 if the tokenizer is NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_tokenizer_n_vocab(const elver_tokenizer* tokenizer);
/** @return 1 if this token ends an answer (EOS, end of turn, ...); else 0, also for an id out of range or if the
 *  tokenizer is NULL. Threads: any. Since: 0.1. */
ELVER_API int elver_tokenizer_is_end(const elver_tokenizer* tokenizer, int32_t id);

/** What kind of token it is, as the model's file says. Numbers are fixed for ever. */
typedef enum elver_token_kind {
    ELVER_TOKEN_NORMAL = 1,       /**< a piece of text */
    ELVER_TOKEN_UNKNOWN = 2,      /**< stands for text that the vocabulary cannot spell */
    ELVER_TOKEN_CONTROL = 3,      /**< steers the model: text never becomes it unless that is asked for */
    ELVER_TOKEN_USER_DEFINED = 4, /**< a piece of text that is always one token */
    ELVER_TOKEN_UNUSED = 5,       /**< nothing becomes it */
    ELVER_TOKEN_BYTE = 6,         /**< one byte, where no other token spells the text */
    ELVER_TOKEN_MARKER = 7        /**< steers the model as a control token does, but is shown in text, as tool_call */
} elver_token_kind;

/** A token of a vocabulary. */
typedef struct elver_token {
    size_t struct_size;
    const char* bytes;  /**< what it stands for, which may be a part of a character; a control token as it is spelled.
                             Borrowed until the tokenizer is released */
    size_t n_bytes;     /**< how many */
    int32_t kind;       /**< an elver_token_kind */
    int32_t is_control; /**< 1: it is not shown in text, unless that is asked for; else 0 */
    int32_t is_end;     /**< 1: it ends an answer; else 0 */
    int32_t reserved;   /**< 0 */
} elver_token;
#define ELVER_TOKEN_INIT \
    { sizeof(elver_token), NULL, 0, 0, 0, 0, 0 }

/** What there is to know of a token: with its bytes a host can allow or forbid tokens by what they spell.
 *  @param token Initialised with ELVER_TOKEN_INIT, and may be used again; the rest is written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (an id that is not in the vocabulary).
 *  Threads: any. The first call takes some milliseconds, and memory for the bytes of all tokens. Since: 0.1. */
ELVER_API elver_status elver_tokenizer_token(const elver_tokenizer* tokenizer, int32_t id, elver_token* token,
                                             elver_error** error);

/** Tokens that a vocabulary has one of, if any. Numbers are fixed for ever. */
typedef enum elver_special {
    ELVER_SPECIAL_BOS = 0,      /**< begins a text */
    ELVER_SPECIAL_EOS = 1,      /**< ends a text */
    ELVER_SPECIAL_EOT = 2,      /**< ends a turn of a conversation */
    ELVER_SPECIAL_EOM = 3,      /**< ends a message, behind which a tool is asked */
    ELVER_SPECIAL_UNK = 4,      /**< stands for what the vocabulary cannot spell */
    ELVER_SPECIAL_SEP = 5,      /**< separates two texts */
    ELVER_SPECIAL_PAD = 6,      /**< fills up */
    ELVER_SPECIAL_CLS = 7,      /**< begins a text of an encoder */
    ELVER_SPECIAL_MASK = 8,     /**< stands for a word that is left out */
    ELVER_SPECIAL_FIM_PRE = 9,  /**< fill in the middle: what stands before follows; */
    ELVER_SPECIAL_FIM_SUF = 10, /**< what stands behind follows; */
    ELVER_SPECIAL_FIM_MID = 11, /**< what is to be filled in follows; */
    ELVER_SPECIAL_FIM_PAD = 12, /**< fills up; */
    ELVER_SPECIAL_FIM_REP = 13, /**< a repository's name follows; */
    ELVER_SPECIAL_FIM_SEP = 14  /**< a file's name follows */
} elver_special;

/** @return The id of a special token; -1 if the vocabulary has none, if there is no such special, or if the tokenizer
 *  is NULL. Which of them end an answer says elver_tokenizer_is_end(): there may be more than these. Threads: any.
 *  Since: 0.1. */
ELVER_API int32_t elver_tokenizer_special(const elver_tokenizer* tokenizer, elver_special which);
/** The id of a token by its spelling in the model's file, as "<|im_end|>"; what lies between two tokens' spellings is
 *  for elver_tokenizer_encode().
 *  @param text Borrowed for the call.
 *  @return The id; -1 if no token is spelled so, or if one of the pointers is NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_tokenizer_find(const elver_tokenizer* tokenizer, const char* text, size_t text_size);

/** How text and tokens become each other: 0, or a sum of these. Numbers are fixed for ever. */
typedef enum elver_text_flag {
    ELVER_TEXT_ADD_SPECIAL = 1,   /**< to tokens: BOS, EOS and their like where the model wants them */
    ELVER_TEXT_PARSE_SPECIAL = 2, /**< to tokens: control tokens that the text spells. Not for text of strangers */
    ELVER_TEXT_SHOW_SPECIAL = 4   /**< to text: control tokens, as they are spelled */
} elver_text_flag;

/** Ids of a text.
 *  @param text      Borrowed for the call; NULL is allowed with a size of 0. Invalid UTF-8 is read as U+FFFD.
 *  @param text_size Bytes, up to 1 GiB.
 *  @param flags     ELVER_TEXT_ADD_SPECIAL and ELVER_TEXT_PARSE_SPECIAL, or 0.
 *  @param out       Written only on ELVER_OK: ids you own; elver_ids_release() them.
 *  @return ELVER_OK; ELVER_UNSUPPORTED (a model whose vocabulary elver cannot use); ELVER_INVALID_ARGUMENT.
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_tokenizer_encode(const elver_tokenizer* tokenizer, const char* text, size_t text_size,
                                              uint32_t flags, elver_ids** out, elver_error** error);

/** Text of ids: whole UTF-8; bytes that are no character become U+FFFD.
 *  @param ids   [n_ids], borrowed for the call; NULL is allowed with n_ids 0.
 *  @param flags ELVER_TEXT_SHOW_SPECIAL or 0.
 *  @param out   Written only on ELVER_OK: a text you own; elver_text_release() it.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (an id that is not in the vocabulary). Threads: any. Since: 0.1. */
ELVER_API elver_status elver_tokenizer_decode(const elver_tokenizer* tokenizer, const int32_t* ids, size_t n_ids,
                                              uint32_t flags, elver_text** out, elver_error** error);

/** Begins a stream of tokens that become text. What its calls give together is what elver_tokenizer_decode() makes of
 *  all ids.
 *  @param flags ELVER_TEXT_SHOW_SPECIAL or 0.
 *  @param out   Written only on ELVER_OK: a detokenizer you own; elver_detokenizer_release() it. It keeps what it needs
 *               of the tokenizer.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT.
 *  Threads: any. The detokenizer belongs to one thread at a time: a call in it while another is at work there returns
 *  ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_detokenizer_open(const elver_tokenizer* tokenizer, uint32_t flags, elver_detokenizer** out,
                                              elver_error** error);

/** Releases a detokenizer; NULL is allowed. Threads: any, once, and after every other call on it has returned.
 *  Since: 0.1. */
ELVER_API void elver_detokenizer_release(elver_detokenizer* detokenizer);

/** Says which tokens stand before the stream, as those of a prompt that it continues: a leading space is then part of
 *  the text, where a text of its own would begin without.
 *  @param ids   [n_ids], borrowed for the call; NULL is allowed with n_ids 0.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (an id that is not in the vocabulary); ELVER_BUSY.
 *  Threads: the detokenizer's. Since: 0.1. */
ELVER_API elver_status elver_detokenizer_follow(elver_detokenizer* detokenizer, const int32_t* ids, size_t n_ids,
                                                elver_error** error);

/** Takes the next token.
 *  @param text      Written only on ELVER_OK: what became whole with it. Valid UTF-8, may be empty. Borrowed until the
 *                   next call in the detokenizer.
 *  @param text_size Written only on ELVER_OK: its bytes.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (an id that is not in the vocabulary); ELVER_BUSY.
 *  Threads: the detokenizer's. Since: 0.1. */
ELVER_API elver_status elver_detokenizer_push(elver_detokenizer* detokenizer, int32_t id, const char** text,
                                              size_t* text_size, elver_error** error);

/** Ends the stream: bytes that waited for the rest of their character come as U+FFFD. The next push begins another.
 *  @param text      As elver_detokenizer_push()'s.
 *  @param text_size As elver_detokenizer_push()'s.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_BUSY. Threads: the detokenizer's. Since: 0.1. */
ELVER_API elver_status elver_detokenizer_finish(elver_detokenizer* detokenizer, const char** text, size_t* text_size,
                                                elver_error** error);

/** Renders a chat template.
 *  @param tokenizer Whose bos_token and eos_token are meant; NULL: there are none.
 *  @param source    The template's text; NULL: the one that lies beside the vocabulary.
 *  @param variables JSON object: messages, tools, documents, add_generation_prompt and whatever else the template
 *                   reads, bos_token and eos_token too. The messages may have the shapes that elver_session_chat()
 *                   takes.
 *  @param out       Written only on ELVER_OK: a text you own; elver_text_release() it. It does not tell what people
 *                   typed from the template's own text: encoded with parse_special, control tokens that someone typed
 *                   become tokens. elver_session_chat() keeps the two apart.
 *  @return ELVER_OK; ELVER_UNSUPPORTED (no template, or a construct that the error names with its line);
 *  ELVER_INVALID_ARGUMENT (the JSON, or the template's own complaint). Threads: any. Since: 0.1. Source: Jinja 3.1 with
 *  the settings of transformers' apply_chat_template. */
ELVER_API elver_status elver_tokenizer_render(const elver_tokenizer* tokenizer, const char* source, size_t source_size,
                                              const char* variables, size_t variables_size, elver_text** out,
                                              elver_error** error);

/* -------------------------------------------------------------------------------------------------------- sessions */

/** Opens a session in a loaded model. It costs the pages of its cache, as its text grows, and the logits after its last
 *  token; scratch belongs to the model and is there once. A text whose beginning another session of the model has
 *  computed takes the pages of that one instead of computing it again: they are kept, while there is room, when their
 *  session is gone.
 *  @param options NULL for defaults. Borrowed for the call.
 *  @param out     Written only on ELVER_OK: a session you own; elver_session_release() it. It keeps the model.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (also: not loaded yet); ELVER_OUT_OF_MEMORY; ELVER_BUSY (another thread
 *  loads the model now).
 *  Threads: any. The session belongs to one thread at a time: a call in it while another is at work there returns
 *  ELVER_BUSY. Sessions of one model may run at once: threads that each work in one share
 *  passes, so that many texts together are written much faster than one after the other. Since: 0.1. */
ELVER_API elver_status elver_session_open(const elver_model* model, const elver_session_options* options,
                                          elver_session** out, elver_error** error);

/** Releases a session; NULL is allowed. Threads: any, once, and after every other call in it has returned.
 *  Since: 0.1. */
ELVER_API void elver_session_release(elver_session* session);

/** @return Positions filled so far; 0 of NULL. Threads: the session's. Since: 0.1. */
ELVER_API int32_t elver_session_position(const elver_session* session);
/** @return The most positions that there can be; 0 of NULL. Threads: any. Since: 0.1. */
ELVER_API int32_t elver_session_n_ctx(const elver_session* session);
/** @return The model that the session is of, borrowed until the session is released; NULL if the session is NULL.
 *  Threads: any. Since: 0.1. */
ELVER_API const elver_model* elver_session_model(const elver_session* session);

/** Stops the call that is at work in the session, within a layer's work, or else the answer that has begun and not
 *  ended; where there is neither it does nothing: a later request is never stopped. The session stays usable, at its
 *  last whole position. NULL is allowed. Threads: any, also a signal handler. Since: 0.1. */
ELVER_API void elver_session_cancel(elver_session* session);

/** What an elver_input is. Numbers are fixed for ever. */
typedef enum elver_input_kind {
    ELVER_INPUT_IDS = 0,       /**< token ids */
    ELVER_INPUT_TEXT = 1,      /**< a text, which becomes token ids */
    ELVER_INPUT_EMBEDDINGS = 2 /**< rows that take the place of tokens' embeddings */
} elver_input_kind;

/** What a session reads. Only the fields of its kind are set. */
typedef struct elver_input {
    size_t struct_size;
    int32_t kind;            /**< an elver_input_kind */
    uint32_t flags;          /**< of a text: ELVER_TEXT_ADD_SPECIAL and ELVER_TEXT_PARSE_SPECIAL, or 0 */
    const int32_t* ids;      /**< [n_ids] */
    size_t n_ids;            /**< how many */
    const char* text;        /**< UTF-8; invalid UTF-8 is read as U+FFFD */
    size_t text_size;        /**< bytes */
    const float* embeddings; /**< [n_rows, width]: what the layers see instead of a token's embedding, after its scale.
                                  What the model adds for a position is still added */
    size_t n_rows;           /**< positions */
    size_t width;            /**< floats of a row: elver_model_width() */
} elver_input;
#define ELVER_INPUT_INIT \
    { sizeof(elver_input), ELVER_INPUT_IDS, 0, NULL, 0, NULL, 0, NULL, 0, 0 }

/** Takes the logits after one token. Called on the thread of the call that takes it.
 *  @param index   Of the token in the input, in which a text counts as its tokens.
 *  @param logits  [n_vocab], borrowed until it returns.
 *  @param context What was given beside the function.
 *  @return Nonzero to go on, 0 to cancel, as elver_progress. It is called from within a pass: calls that compute in any
 *  session of the same model return ELVER_BUSY in it. */
typedef int (*elver_on_logits)(size_t index, const float* logits, size_t n_vocab, void* context);

/** What elver_session_prefill() tells while it works. */
typedef struct elver_prefill_options {
    size_t struct_size;
    elver_progress progress;   /**< NULL, or called after each pass */
    elver_on_logits on_logits; /**< NULL, or called for each token that is wanted, in their order */
    const size_t* wanted; /**< [n_wanted], rising: which tokens of the input; NULL: every one. Borrowed for the call */
    size_t n_wanted;      /**< 0 where wanted is NULL */
    void* context;        /**< given to both functions */
} elver_prefill_options;
#define ELVER_PREFILL_OPTIONS_INIT \
    { sizeof(elver_prefill_options), NULL, NULL, NULL, 0, NULL }

/** Appends an input to the session's text and computes it, in passes of at most max_batch. Ends an answer that was
 *  begun, except where nothing has changed.
 *  @param input   Borrowed for the call. It may be empty.
 *  @param options NULL, or borrowed for the call.
 *  @return ELVER_OK: elver_session_logits() are those after the last token. ELVER_INVALID_ARGUMENT (an id that is not
 *  in the vocabulary, an embedding that is not finite), ELVER_UNSUPPORTED (a text, and a vocabulary that elver cannot
 *  use) and ELVER_CONTEXT_FULL: nothing has changed. ELVER_CANCELLED: the session stands after the last whole pass.
 *  ELVER_OVER_BUDGET (page_bytes cannot hold the text), ELVER_OUT_OF_MEMORY, ELVER_BAD_FILE (weights that give no
 *  numbers): the text is as it was. ELVER_BUSY. Logits are the same bits whatever passes, threads and sessions were.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_prefill(elver_session* session, const elver_input* input,
                                             const elver_prefill_options* options, elver_error** error);

/** The logits after the session's last token. With them a host chooses tokens by itself: it edits and reads the logits,
 *  prefills the id that it has chosen, and makes text of it with an elver_detokenizer.
 *  @param n Written always: how many there are, the vocabulary of the session's model, or 0. NULL is allowed.
 *  @return [n], yours to edit and borrowed until the next call in the session: the session does not read them, but for
 *  elver_session_save() and elver_session_fork(), which keep them as they are. NULL where there are none: before the
 *  first token, after a rewind or a cancelled call, and if the session is NULL.
 *  Threads: the session's. Since: 0.1. */
ELVER_API float* elver_session_logits(elver_session* session, size_t* n);

/** Goes back to a position, forgetting what came after. Ends an answer that was begun. Where a sliding window or a
 *  recurrent layer does not reach back that far, the next call computes what is left of the text anew.
 *  @param position 0 to the present one.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_BUSY. Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_rewind(elver_session* session, int32_t position, elver_error** error);

/** How an answer is begun. */
typedef struct elver_answer_options {
    size_t struct_size;
    elver_progress progress; /**< NULL, or called after each pass over the prompt */
    void* context;           /**< given to progress */
    /** Nonzero: the request is checked, and its prompt is read by the calls that pull the answer: by the first
     *  elver_session_next(), or piece by piece by elver_model_step(). Progress is not called. */
    int32_t deferred;
    int32_t reserved; /**< 0 */
} elver_answer_options;
#define ELVER_ANSWER_OPTIONS_INIT \
    { sizeof(elver_answer_options), NULL, NULL, 0, 0 }

/** Begins the answer to a chat request: reads the conversation, keeping what the session holds of it already. Pull the
 *  answer with elver_session_next(). A call that fails with another status than ELVER_CANCELLED leaves an answer that
 *  was begun before as it is.
 *  @param request JSON object shaped as the OpenAI chat API's, borrowed for the call: messages, tools, documents and
 *                 how to answer (docs/sampling.md has every key): temperature (0: always the likeliest token), top_p,
 *                 top_k, min_p, typical_p and other ways to sample, their order as samplers, max_tokens (-1: no limit),
 *                 stop, seed, logit_bias, presence_penalty, frequency_penalty, repetition_penalty, logprobs,
 *                 top_logprobs, ignore_eos, chat_template_kwargs, reasoning_effort; speculate (false: no drafted
 *                 tokens) and prediction (text that the answer may repeat), which change its speed alone. What a
 *                 request does not say is as the model's file has it (its keys general.sampling.), else all tokens at
 *                 temperature 1. Without a seed, or with -1, a random one is used; elver_event has it. A stop string
 *                 may spell control tokens, although they are not shown. A key of the API that asks for nothing
 *                 (null, n 1, ...) is accepted; one that asks for what is not done is an error that says so, and so is
 *                 an unknown key.
 *                 Messages may have null or no content, parts of text, the role developer, and tool calls whose
 *                 arguments are JSON text. Control tokens that they spell stay text. BOS stands before the prompt once
 *                 if the model asks for it, whether the template writes it or not. Tools take the template
 *                 "tokenizer.chat_template.tool_use" if the file has it; with a template that does not read them they
 *                 are an error.
 *  @param options NULL, or borrowed for the call.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (the error names the key, what was expected and what was found);
 *  ELVER_UNSUPPORTED (no usable chat template or vocabulary); ELVER_CONTEXT_FULL; ELVER_CANCELLED; ELVER_BUSY.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_chat(elver_session* session, const char* request, size_t request_size,
                                          const elver_answer_options* options, elver_error** error);

/** Begins the continuation of a text: as elver_session_chat(), but with "prompt" (a text) or "ids" (a list of token
 *  ids) in place of messages, tools and documents. Control tokens that a prompt spells stay text unless "special" is
 *  true, which is for prompts made by hand. Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_complete(elver_session* session, const char* request, size_t request_size,
                                              const elver_answer_options* options, elver_error** error);

/** Why an answer ended. Numbers are fixed for ever. */
typedef enum elver_finish {
    ELVER_FINISH_NONE = 0,     /**< more to come */
    ELVER_FINISH_STOP = 1,     /**< the model ended its answer, or a stop string came */
    ELVER_FINISH_LENGTH = 2,   /**< max_tokens, or the context is full */
    ELVER_FINISH_CANCELLED = 3 /**< elver_session_cancel() */
} elver_finish;

/** A token and how likely it was. */
typedef struct elver_logprob {
    int32_t id;
    float logprob;     /**< natural logarithm of its probability at temperature 1 */
    const char* bytes; /**< the token's own, which may be a part of a character; a control token as it is spelled.
                            Borrowed until the next call in the session */
    size_t n_bytes;    /**< how many */
} elver_logprob;

/** What an event tells. A host passes over kinds that it does not know: later releases may have more. Numbers are fixed
 *  for ever. */
typedef enum elver_event_kind {
    ELVER_EVENT_TEXT = 0,      /**< a token of the answer, with the text that became whole */
    ELVER_EVENT_END = 1,       /**< the end, with why; the last text and its token may come with it */
    ELVER_EVENT_PROGRESS = 2,  /**< a part of a deferred prompt was read: n_unread tokens are left */
    ELVER_EVENT_REASONING = 3, /**< as text, of what the model thinks before it answers. Not sent by this release */
    ELVER_EVENT_TOOL_CALL = 4  /**< a piece of a tool call. Not sent by this release */
} elver_event_kind;

/** A step of an answer. */
typedef struct elver_event {
    size_t struct_size;
    int32_t kind;             /**< an elver_event_kind */
    int32_t id;               /**< the token, or -1 */
    const char* text;         /**< what became whole with it: valid UTF-8, may be empty. Borrowed until the next call */
    size_t text_size;         /**< bytes */
    const char* bytes;        /**< the token's own, as elver_logprob's; empty without a token. Borrowed likewise */
    size_t n_bytes;           /**< how many */
    int32_t finish;           /**< an elver_finish: other than ELVER_FINISH_NONE at the end alone */
    float logprob;            /**< of the token, where the request asked for logprobs; else 0 */
    const elver_logprob* top; /**< alternatives, likeliest first. Borrowed until the next call */
    size_t n_top;             /**< how many */
    size_t top_stride;        /**< bytes from one to the next, which may be more than this header's elver_logprob */
    uint64_t seed;            /**< that the answer is drawn with: with it the same request gives the same answer */
    int32_t n_prompt;         /**< tokens of the prompt */
    int32_t n_cached;         /**< of these, not computed again: the session, or another of the model, had them */
    int32_t n_generated;      /**< tokens of the answer so far */
    int32_t n_drafted;        /**< tokens that were computed before it was known whether they would be chosen */
    int32_t n_accepted;       /**< of these, chosen: passes that were saved */
    int32_t n_unread;         /**< tokens of a deferred prompt that are to be read yet */
    double prompt_seconds;    /**< that the prompt took */
    double generation_seconds; /**< that elver_session_next() took so far */
} elver_event;
#define ELVER_EVENT_INIT \
    { sizeof(elver_event), 0, -1, NULL, 0, NULL, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** The next step of the answer. The end is an event too: one more call is an error. A part of a stop string is never
 *  shown.
 *  @param event Initialised with ELVER_EVENT_INIT, and may be used again; the rest is written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (no answer was begun, or it has ended); ELVER_BUSY.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_next(elver_session* session, elver_event* event, elver_error** error);

/** A session whose answer elver_model_step() brings forward. */
typedef struct elver_step_item {
    size_t struct_size;
    elver_session* session; /**< in which an answer has begun */
    elver_event* event;     /**< written where status is ELVER_OK, as elver_session_next() does */
    elver_error* error;     /**< written: NULL, or what went wrong, an error you own; elver_error_release() it */
    int32_t status;         /**< written: an elver_status, of this session alone */
    int32_t reserved;       /**< 0 */
} elver_step_item;
#define ELVER_STEP_ITEM_INIT \
    { sizeof(elver_step_item), NULL, NULL, NULL, 0, 0 }

/** Brings the answers of many sessions forward by a single pass, so that one thread serves them all as fast as many
 *  threads that each pull one. Each session gets its next event: a token, the end, or ELVER_EVENT_PROGRESS while its
 *  prompt, which was deferred, is read piece by piece. The texts are those of elver_session_next(). A session that
 *  cannot go on has a status and an error of its own and holds up no other: one without an answer, one of another
 * model, one that another thread uses, or one that is in the list twice (the first of them goes on).
 *  @param model  Whose sessions they are.
 *  @param items  [n_items], each initialised with ELVER_STEP_ITEM_INIT; they may be used again once their errors are
 *                released.
 *  @param stride Bytes from one item to the next: sizeof(elver_step_item).
 *  @return ELVER_OK, whatever the items' own statuses are; ELVER_INVALID_ARGUMENT: no item was touched.
 *  Threads: any; the sessions belong to it meanwhile, and others may be at work in other threads. Since: 0.1. */
ELVER_API elver_status elver_model_step(const elver_model* model, elver_step_item* items, size_t n_items, size_t stride,
                                        elver_error** error);

/** Which hidden states make an embedding. Numbers are fixed for ever. */
typedef enum elver_pooling {
    ELVER_POOLING_DEFAULT = 0, /**< as the model says; else the last of a causal model, and the mean of others */
    ELVER_POOLING_MEAN = 1,    /**< of all tokens */
    ELVER_POOLING_FIRST = 2,   /**< of the first token, as BERT's [CLS] */
    ELVER_POOLING_LAST = 3     /**< of the last token */
} elver_pooling;

/** How an embedding is made. */
typedef struct elver_embed_options {
    size_t struct_size;
    int32_t pooling;         /**< an elver_pooling */
    int32_t reserved;        /**< 0 */
    elver_progress progress; /**< NULL, or called after each pass */
    void* context;           /**< given to progress */
} elver_embed_options;
#define ELVER_EMBED_OPTIONS_INIT \
    { sizeof(elver_embed_options), ELVER_POOLING_DEFAULT, 0, NULL, NULL }

/** The embedding of an input: its hidden states after the last norm, pooled and scaled to unit length, so that the
 *  cosine of two texts is the product of their embeddings. The session's text is then this one, without logits. Ends an
 *  answer that was begun. A model that reads both ways (BERT) takes at most max_batch tokens, which defaults to its
 *  context.
 *  @param input   At least one token or row, borrowed for the call.
 *  @param options NULL, or borrowed for the call.
 *  @param out     [n_out], yours; written only on ELVER_OK.
 *  @param n_out   elver_model_width().
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED (a text, and a vocabulary that elver cannot use);
 *  ELVER_CONTEXT_FULL; ELVER_CANCELLED; ELVER_BUSY.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_embed(elver_session* session, const elver_input* input,
                                           const elver_embed_options* options, float* out, size_t n_out,
                                           elver_error** error);

/** Writes a session: its tokens, the logits after the last and its cache. An answer that is under way is not part of
 *  it: begin another after restoring.
 *  @param sink  Borrowed for the call.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_IO (also where the function answered 0); ELVER_BUSY; and, where
 *  pages were given to other sessions and have to be computed anew, what elver_session_prefill() returns.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_save(elver_session* session, const elver_sink* sink, elver_error** error);

/** Makes a session what was saved, to the bit; an answer under way ends. After an error it holds what it held.
 *  @param source Borrowed for the call.
 *  @return ELVER_OK; ELVER_MISMATCH (another model, instruction set, context, batch or cache type: the message says
 *  which); ELVER_BAD_FILE (damaged); ELVER_NOT_FOUND; ELVER_IO; ELVER_BUSY.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_restore(elver_session* session, const elver_source* source, elver_error** error);

/** A session that holds the same. The two share memory until one of them writes there: a fork costs nothing at first,
 *  and at most a page for each layer and KV head when it goes on.
 *  @param go_on   NULL, or asked while a call works in the new session, as elver_session_options says; the session's
 *  own is not asked there.
 *  @param context Given to go_on; both must outlive the new session.
 *  @param out     Written only on ELVER_OK: a session you own; elver_session_release() it.
 *  @return ELVER_OK; ELVER_OUT_OF_MEMORY; ELVER_BUSY.
 *  Threads: the session's. Since: 0.1. */
ELVER_API elver_status elver_session_fork(elver_session* session, elver_go_on go_on, void* context, elver_session** out,
                                          elver_error** error);

#ifdef __cplusplus
}
#endif

#endif
