#include "models/tensor_names.hpp"

#include "base/text.hpp"

namespace elver {

namespace {

constexpr std::string_view mark = "{layer}";

constexpr const char* model_roles[] = {"token_embd",      "token_types", "position_embd",
                                       "token_embd_norm", "output_norm", "output"};

// attn_gate scales the result of attention; post_* normalise a branch before it is added, *_output_norm the sum.
constexpr const char* layer_roles[] = {
    "attn_norm",
    "attn_norm_2",
    "attn_qkv",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_q_a",
    "attn_q_a_norm",
    "attn_q_b",
    "attn_kv_a_mqa",
    "attn_kv_a_norm",
    "attn_kv_b",
    "attn_k_b",
    "attn_v_b",
    "attn_q_norm",
    "attn_k_norm",
    "attn_gate",
    "attn_output",
    "post_attention_norm",
    "attn_output_norm",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
    "post_ffw_norm",
    "layer_output_norm",
    "attn_sinks",
    "ffn_norm_exps",
    "ffn_gate_inp",
    "exp_probs_b",
    "ffn_gate_exps",
    "ffn_up_exps",
    "ffn_gate_up_exps",
    "ffn_down_exps",
    "ffn_gate_inp_shexp",
    "ffn_gate_shexp",
    "ffn_up_shexp",
    "ffn_down_shexp",
    "ssm_in",
    "ssm_conv1d",
    "ssm_x",
    "ssm_dt",
    "ssm_a",
    "ssm_d",
    "ssm_dt_norm",
    "ssm_b_norm",
    "ssm_c_norm",
    "ssm_norm",
    "ssm_ba",
    "ssm_beta",
    "ssm_alpha",
    "ssm_out",
    "shortconv_in",
    "shortconv_conv",
    "shortconv_out",
    "time_mix_ln",
    "time_mix_receptance",
    "time_mix_key",
    "time_mix_value",
    "time_mix_gate",
    "time_mix_output",
    "time_mix_lerp_fused",
    "time_mix_lerp_x",
    "time_mix_w0",
    "time_mix_w1",
    "time_mix_w2",
    "time_mix_a0",
    "time_mix_a1",
    "time_mix_a2",
    "time_mix_g1",
    "time_mix_g2",
    "time_mix_v0",
    "time_mix_v1",
    "time_mix_v2",
    "time_mix_k_k",
    "time_mix_k_a",
    "time_mix_r_k",
    "time_mix_first",
    "time_mix_decay",
    "time_mix_decay_w1",
    "time_mix_decay_w2",
    "channel_mix_lerp_k",
    "channel_mix_lerp_r",
    "channel_mix_key",
    "channel_mix_receptance",
    "channel_mix_value",
};

// Roles whose tensors usually have another name than the role.
constexpr std::pair<std::string_view, std::string_view> other_names[] = {{"shortconv_in", "shortconv.in_proj"},
                                                                         {"shortconv_conv", "shortconv.conv"},
                                                                         {"shortconv_out", "shortconv.out_proj"}};

std::string usual(std::string_view role) {
    for (const char* name : model_roles) {
        if (role == name) return name;
    }
    for (const auto& [own, name] : other_names) {
        if (role == own) role = name;
    }
    return cat("blk.", mark, ".", role);
}

}  // namespace

TensorNames::TensorNames() {
    for (const char* role : model_roles) patterns_.emplace_back(role, usual(role));
    for (const char* role : layer_roles) patterns_.emplace_back(role, usual(role));
}

std::string TensorNames::of(std::string_view role, int layer) const {
    for (const auto& [name, pattern] : patterns_) {
        if (name != role) continue;
        std::string out = pattern;
        if (const size_t at = out.find(mark); at != std::string::npos) out.replace(at, mark.size(), cat(layer));
        return out;
    }
    return {};
}

bool TensorNames::rename(std::string_view role, std::string pattern) {
    for (auto& [name, own] : patterns_) {
        if (name == role) return own = std::move(pattern), true;
    }
    return false;
}

void TensorNames::lend(std::string_view role, std::string_view usual_role) {
    rename(role, usual_role.empty() ? std::string() : usual(usual_role));
}

}  // namespace elver
