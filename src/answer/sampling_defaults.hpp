// What a model's file says about sampling: its authors' settings, which hold where a request says nothing.
#pragma once

#include "answer/sampler_settings.hpp"
#include "formats/gguf.hpp"

namespace elver {

// Keys "general.sampling." of GGUF (gguf-py/gguf/constants.py in the ggml repositories): temp, top_k, top_p, min_p,
// xtc_probability, xtc_threshold, penalty_last_n, penalty_repeat, penalty_freq, penalty_present, mirostat,
// mirostat_tau, mirostat_eta and sequence, the order of steps. What a file does not say is as SamplerSettings has it. A
// key of the wrong type or out of range is an error that names file and key.
Result<SamplerSettings> sampling_defaults(const Gguf& file);

}  // namespace elver
