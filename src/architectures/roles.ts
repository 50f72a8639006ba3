/**
 * Every tensor of a GGUF file once, for all families: the name it has there and what kind of tensor it is. Rows of
 * families speak of roles, so that a GGUF name is written in this file only.
 *
 * Law: gguf-py/gguf/constants.py `TENSOR_NAMES` (llama.cpp 0c1e570), without the suffix `.weight` or `.bias`.
 */

/**
 * What a tensor is; decides which type it may have in the output:
 *   matmul      multiplied with activations: takes the type the user asks for
 *   embedding   rows looked up by token: takes it too, with llama-quantize's exceptions
 *   output      the last matrix, hidden state to logits
 *   norm        scale of a normalisation: f32 whatever its shape
 *   factors     numbers that the converter computes (rope): f32
 *   exact       small or touchy weights that the reference never narrows (routers, positions, convolutions): f32
 */
export type RoleKind = 'matmul' | 'embedding' | 'output' | 'norm' | 'factors' | 'exact'

interface RoleRow {
  /** GGUF name without suffix; `{block}` stands for the layer. */
  readonly gguf: string
  readonly kind: RoleKind
}

export const ROLES = {
  tokenEmbd: { gguf: 'token_embd', kind: 'embedding' },
  outputNorm: { gguf: 'output_norm', kind: 'norm' },
  output: { gguf: 'output', kind: 'output' },
  ropeFreqs: { gguf: 'rope_freqs', kind: 'factors' },
  attnNorm: { gguf: 'blk.{block}.attn_norm', kind: 'norm' },
  attnQ: { gguf: 'blk.{block}.attn_q', kind: 'matmul' },
  attnK: { gguf: 'blk.{block}.attn_k', kind: 'matmul' },
  attnV: { gguf: 'blk.{block}.attn_v', kind: 'matmul' },
  attnOutput: { gguf: 'blk.{block}.attn_output', kind: 'matmul' },
  attnQNorm: { gguf: 'blk.{block}.attn_q_norm', kind: 'norm' },
  attnKNorm: { gguf: 'blk.{block}.attn_k_norm', kind: 'norm' },
  ffnNorm: { gguf: 'blk.{block}.ffn_norm', kind: 'norm' },
  ffnGate: { gguf: 'blk.{block}.ffn_gate', kind: 'matmul' },
  ffnUp: { gguf: 'blk.{block}.ffn_up', kind: 'matmul' },
  ffnDown: { gguf: 'blk.{block}.ffn_down', kind: 'matmul' },
  ffnGateInp: { gguf: 'blk.{block}.ffn_gate_inp', kind: 'exact' },
} as const satisfies Record<string, RoleRow>

/** Name of a role. */
export type Role = keyof typeof ROLES

/** GGUF name of a role's tensor, with its suffix: `blk.3.attn_q.weight`. */
export function ggufTensorName(role: Role, suffix: string, layer?: number): string {
  return ROLES[role].gguf.replace('{block}', String(layer)) + suffix
}
