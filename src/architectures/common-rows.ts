/**
 * Rows that many families share, in groups that a family spreads into its own: most decoders of the last years differ in
 * two or three of them only. Biases are allowed wherever llama.cpp has a place for them.
 */
import type { TensorRow } from './define.js'

/** Embedding, last norm, output. */
export const ENDS: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.norm', 'outputNorm'],
  ['lm_head', 'output', 'tied'],
]

/** A norm before attention and one before the feed-forward part. */
export const NORMS: readonly TensorRow[] = [
  ['model.layers.{block}.input_layernorm', 'attnNorm'],
  ['model.layers.{block}.post_attention_layernorm', 'ffnNorm'],
]

/** The same by the names of hybrids of attention and state space: Jamba, Bamba. */
export const FINAL_ENDS: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.final_layernorm', 'outputNorm'],
  ['lm_head', 'output', 'tied'],
]

export const PRE_FF_NORMS: readonly TensorRow[] = [
  ['model.layers.{block}.input_layernorm', 'attnNorm'],
  ['model.layers.{block}.pre_ff_layernorm', 'ffnNorm'],
]

/** Norms after attention and feed-forward, none before: OLMo 2, EXAONE 4. */
export const POST_NORMS: readonly TensorRow[] = [
  ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
  ['model.layers.{block}.post_feedforward_layernorm', 'postFfwNorm'],
]

export const ATTENTION: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'bias?'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'bias?'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?'],
]

/** The same for families whose rotary halves llama.cpp wants side by side. */
export const ROPE_ATTENTION: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'unpermuteRope:kvHeads', 'bias?'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?'],
]

/** Norms of queries and keys. */
export const QK_NORMS: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.q_norm', 'attnQNorm'],
  ['model.layers.{block}.self_attn.k_norm', 'attnKNorm'],
]

export const GATED_MLP: readonly TensorRow[] = [
  ['model.layers.{block}.mlp.gate_proj', 'ffnGate', 'bias?'],
  ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'bias?'],
  ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'bias?'],
]

/** Two matrices, as GPT had them. */
export const PLAIN_MLP: readonly TensorRow[] = [
  ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'bias?'],
  ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'bias?'],
]

/** Experts one by one on disk, as the hub has them, or stacked, as transformers 5 holds them; in the reference's order. */
export const EXPERTS: readonly TensorRow[] = [
  ['model.layers.{block}.mlp.experts.{expert}.down_proj', 'ffnDownExps', 'stackExperts', 'layers:moe'],
  ['model.layers.{block}.mlp.experts.{expert}.gate_proj', 'ffnGateExps', 'stackExperts', 'layers:moe'],
  ['model.layers.{block}.mlp.experts.{expert}.up_proj', 'ffnUpExps', 'stackExperts', 'layers:moe'],
  ['model.layers.{block}.mlp.experts.down_proj', 'ffnDownExps', 'exact', 'optional'],
  ['model.layers.{block}.mlp.experts.gate_up_proj', ['ffnGateExps', 'ffnUpExps'], 'halves', 'exact', 'optional'],
]

/** A router, and experts that all tokens share. */
export const SHARED_EXPERTS: readonly TensorRow[] = [
  ['model.layers.{block}.mlp.gate', 'ffnGateInp', 'layers:moe'],
  ['model.layers.{block}.mlp.shared_experts.gate_proj', 'ffnGateShexp', 'layers:moe'],
  ['model.layers.{block}.mlp.shared_experts.up_proj', 'ffnUpShexp', 'layers:moe'],
  ['model.layers.{block}.mlp.shared_experts.down_proj', 'ffnDownShexp', 'layers:moe'],
]

/** A layer under GPT's names. */
export const GPT_BLOCK: readonly TensorRow[] = [
  ['transformer.h.{block}.ln_1', 'attnNorm', 'bias'],
  ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'bias'],
  ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'bias'],
  ['transformer.h.{block}.ln_2', 'ffnNorm', 'bias'],
  ['transformer.h.{block}.mlp.c_fc', 'ffnUp', 'bias'],
  ['transformer.h.{block}.mlp.c_proj', 'ffnDown', 'bias'],
]

/** The rows of a feed-forward part that is called `feed_forward`. */
export function feedForwardNamed(rows: readonly TensorRow[]): TensorRow[] {
  return rows.map(([source, role, ...words]) => [String(source).replace('.mlp.', '.feed_forward.'), role, ...words])
}

/** A row like another, with other words about which tensors there are. */
export function saying(rows: readonly TensorRow[], ...words: readonly Exclude<TensorRow[2], undefined>[]): TensorRow[] {
  return rows.map(([source, role, ...own]) => [source, role, ...own, ...words])
}

/** Rows whose modules may have biases that are zero, and are left out. */
export function withZeroBiases(rows: readonly TensorRow[]): TensorRow[] {
  return rows.flatMap(([source, role, ...words]): TensorRow[] => [
    [source, role, ...words],
    [source, role, 'noWeight', 'bias?', 'refuseNonZero'],
  ])
}
