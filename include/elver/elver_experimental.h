/** @file
 *  What may still change before elver 1.0: its names, arguments and files. Everything else stays as it is in elver.h
 *  and elver_ops.h. What holds there holds here. */
#ifndef ELVER_EXPERIMENTAL_H
#define ELVER_EXPERIMENTAL_H

#include "elver/elver.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a packed file is written. */
typedef struct elver_pack_options {
    size_t struct_size;
    elver_progress progress; /**< NULL, or called every few MiB */
    void* context;           /**< given to progress */
} elver_pack_options;
#define ELVER_PACK_OPTIONS_INIT \
    { sizeof(elver_pack_options), NULL, NULL }

/** Writes an open model as a packed file, which loads by mapping: its weights lie in it as this machine's kernels read
 *  them (docs/packed.md). It is opened like any model, by this release of elver.
 *  @param options NULL for defaults.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED (the level reads no packs); ELVER_IO; ELVER_CANCELLED;
 *  ELVER_BUSY (another thread loads the model now).
 *  Threads: any; sessions of the model wait meanwhile. Since: 0.1, may change. */
ELVER_API elver_status elver_model_pack(const elver_model* model, const elver_sink* sink,
                                        const elver_pack_options* options, elver_error** error);

/** Which model of random weights is written. */
typedef struct elver_synth_options {
    size_t struct_size;
    const char* name;        /**< "NAME:FORMAT": llama-1b, phi-2, mistral-7b or mixtral-8x7b, and a weight format */
    size_t name_size;        /**< bytes */
    int32_t n_layers;        /**< 0: all of them, or as many as take two fifths of this machine's memory */
    int32_t reserved;        /**< 0 */
    elver_progress progress; /**< NULL, or called every few MiB */
    void* context;           /**< given to progress */
} elver_synth_options;
#define ELVER_SYNTH_OPTIONS_INIT \
    { sizeof(elver_synth_options), NULL, 0, 0, 0, NULL, NULL }

/** Writes a GGUF model of well-known dimensions with random weights, for measuring speed.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (the message lists the names); ELVER_IO; ELVER_CANCELLED.
 *  Threads: any. Since: 0.1, may change. */
ELVER_API elver_status elver_model_synth(const elver_sink* sink, const elver_synth_options* options,
                                         elver_error** error);

/** What a machine can do. */
typedef struct elver_machine {
    size_t struct_size;
    double dot_ops_per_s;    /**< 8-bit multiply-adds, each two operations; 0 at the reference level */
    double read_bytes_per_s; /**< of memory, with all the model's threads; 0 at the reference level */
} elver_machine;
#define ELVER_MACHINE_INIT \
    { sizeof(elver_machine), 0, 0 }

/** Measures what this machine can do with the model's threads and instruction set, so that speeds become fractions.
 *  Takes about a second and 256 MiB.
 *  @param machine Initialised with ELVER_MACHINE_INIT; the rest is written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_OUT_OF_MEMORY; ELVER_BUSY (another thread loads the model now).
 *  Threads: any; the model's sessions wait meanwhile. Since: 0.1, may change. */
ELVER_API elver_status elver_model_measure(const elver_model* model, elver_machine* machine, elver_error** error);

#ifdef __cplusplus
}
#endif

#endif
