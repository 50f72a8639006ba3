/**
 * What a tensor's name says to llama-quantize: its order in the file, its category, and whether it may be quantized at
 * all. Goes by GGUF names alone, so that it holds for architectures that we cannot convert.
 *
 * Law: llama-quant.cpp `tensor_get_category`, `tensor_allows_quantization`; llama-model-loader.h `weight_name_comparer`
 * (llama.cpp 0c1e570).
 */

/** Kinds of tensors that the mixtures tell apart. */
export type TensorCategory =
  | 'output'
  | 'tokenEmbedding'
  /** Attention's V and whatever holds it: `attn_v`, fused `attn_qkv`, MLA's `attn_kv_b`. */
  | 'attentionV'
  | 'attentionK'
  | 'attentionQ'
  | 'attentionOutput'
  | 'ffnUp'
  | 'ffnGate'
  | 'ffnDown'
  | 'other'

const OUTPUT = 'output.weight'
export const PER_LAYER_EMBEDDING = 'per_layer_token_embd.weight'
const TOKEN_EMBEDDINGS: ReadonlySet<string> = new Set(['token_embd.weight', PER_LAYER_EMBEDDING])

/** The first row whose text is part of the name decides; experts (`ffn_down_exps`) and shared experts count too. */
const CATEGORIES: readonly (readonly [part: string, category: TensorCategory])[] = [
  ['attn_qkv.weight', 'attentionV'],
  ['attn_kv_b.weight', 'attentionV'],
  ['attn_v.weight', 'attentionV'],
  ['attn_k.weight', 'attentionK'],
  ['attn_q.weight', 'attentionQ'],
  ['attn_output.weight', 'attentionOutput'],
  ['ffn_up', 'ffnUp'],
  ['ffn_gate', 'ffnGate'],
  ['ffn_down', 'ffnDown'],
]

export function tensorCategory(name: string): TensorCategory {
  if (name === OUTPUT) return 'output'
  if (TOKEN_EMBEDDINGS.has(name)) return 'tokenEmbedding'
  return CATEGORIES.find(([part]) => name.includes(part))?.[1] ?? 'other'
}

/** Names of tensors that keep their type: small, or sensitive. */
const KEPT_NAMES: ReadonlySet<string> = new Set(['position_embd.weight', 'token_types.weight'])

/** Parts of such names. */
const KEPT_PARTS: readonly string[] = [
  '_norm.weight',
  // routing of experts
  ...['ffn_gate_inp.weight', 'ffn_gate_tid2eid.weight'],
  // Gemma 3n
  ...['altup', 'laurel', 'per_layer_model_proj'],
  // short convolutions of Mamba, Kimi, LFM2
  ...['ssm_conv1d', 'shortconv.conv.weight'],
  // sparse attention's indexer
  ...['indexer.k_proj.weight', 'indexer.q_proj.weight'],
  // RWKV
  ...['first', 'w0', 'w1', 'w2', 'v0', 'v1', 'v2', 'a0', 'a1', 'a2', 'g1', 'g2', 'decay_w1', 'decay_w2', 'lerp_fused'].map((part) => `time_mix_${part}.weight`),
  // T5
  'attn_rel_b.weight',
  // images and sound
  ...['.position_embd', 'sam.pos_embd', 'sam.neck.', 'sam.net_', '.rel_pos', '.patch_embd', '.patch_merger', 'a.rvq.codebook', 'mm.a.code_embd'],
]

/** More of them, by architecture. */
const KEPT_PARTS_OF: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'glm5-next',
    [
      ...['hc_', 'indexer.attn_q_b', 'indexer.attn_k', 'indexer.proj', 'indexer_compressor_gate', 'indexer_compressor_ape'],
      ...['ssm_f_a.weight', 'ssm_f_b.weight', 'ssm_g_a.weight', 'ssm_g_b.weight', 'ssm_beta.weight'],
      ...['attn_kv_a_mqa.weight', 'attn_k_b.weight', 'attn_v_b.weight'],
    ],
  ],
])

/**
 * Whether llama-quantize gives the tensor a type of its own choice; the others are copied as they are stored.
 * @param shape              outermost dimension first
 * @param leaveOutputTensor  --leave-output-tensor
 */
export function mayQuantize(name: string, shape: readonly number[], architecture: string, leaveOutputTensor: boolean): boolean {
  if (!hasRows(shape) || !name.endsWith('weight')) return false
  if (leaveOutputTensor && name === OUTPUT) return false
  if (KEPT_NAMES.has(name)) return false
  return ![...KEPT_PARTS, ...(KEPT_PARTS_OF.get(architecture) ?? [])].some((part) => name.includes(part))
}

/** At least two dimensions as ggml counts them: outermost dimensions of 1 do not count, so that [1, 256] is a vector. */
function hasRows(shape: readonly number[]): boolean {
  return shape.slice(0, -1).some((dimension) => dimension > 1)
}

/** The layer that a name tells, as C's `sscanf(name, "blk.%d.")` reads it; undefined outside of the layers. */
export function layerOf(name: string): number | undefined {
  const digits = /^blk\.\s*([+-]?\d+)/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The order of llama-quantize's files: what is outside of the layers first, then layer by layer, names in code-point order. */
export function compareTensorNames(a: string, b: string): number {
  return (layerOf(a) ?? -1) - (layerOf(b) ?? -1) || compareCodePoints(a, b)
}

function compareCodePoints(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  // back to the start of a pair: its second half says nothing by itself
  if (at > 0 && /[\ud800-\udbff]/.test(a[at - 1] ?? '')) at--
  return (a.codePointAt(at) ?? -1) - (b.codePointAt(at) ?? -1)
}
