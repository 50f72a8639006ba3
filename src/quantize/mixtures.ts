/**
 * Which type each kind of tensor gets in each file type: llama-quantize's mixtures as rows of data. policy.ts reads them.
 *
 * A cell lists choices; the first whose conditions all hold gives the type, and where none does the tensor gets the file
 * type's own (file-types.ts). The conditions are in policy-conditions.ts.
 *
 * Law: llama-quant.cpp `llama_tensor_get_type_impl`, `tensor_type_fallback`, `tensor_requires_imatrix` (llama.cpp 0c1e570).
 */
import type { QuantType } from '../core/quant-types.js'
import type { NamedFileType } from './file-types.js'
import type { Condition } from './policy-conditions.js'
import type { TensorCategory } from './tensor-categories.js'

/** A type and the conditions under which it is taken. */
export type Choice = readonly [type: QuantType, ...conditions: Condition[]]

/** Choices by category; no cell, no choice. `rest` stands for every category that has no cell, and for all general rules. */
export type Mixture = { readonly [C in TensorCategory | 'rest']?: readonly Choice[] }

// of eight experts the attention is a small part of the model: more bits for its output
const EIGHT_EXPERTS: Choice = ['q5_k', 'experts = 8', 'not falcon']

// of the head, or of the embedding that is the head too
const OUTPUT_LOW: readonly Choice[] = [['q8_0', 'falcon'], ['q8_0', 'cut blocks'], ['q5_k']]
const OUTPUT: readonly Choice[] = [['q8_0', 'falcon'], ['q8_0', 'cut blocks'], ['q6_k']]
const OUTPUT_EXACT: readonly Choice[] = [['q8_0']]

const BELOW_2_BITS: Mixture = {
  output: OUTPUT_LOW,
  tokenEmbedding: [['q2_k']],
  attentionV: [['q4_k', 'gqa >= 4'], ['q4_k', 'experts >= 4'], ['q2_k']],
  attentionK: [['q4_k', 'experts = 8']],
  ffnDown: [['q2_k', 'first 1/8']],
  attentionOutput: [['q5_k', 'experts = 8'], ['iq2_xxs']],
}
const ABOUT_2_BITS: Mixture = { ...BELOW_2_BITS, attentionOutput: [['q5_k', 'experts = 8']] }
const ABOVE_2_BITS: Mixture = {
  ...BELOW_2_BITS,
  tokenEmbedding: [['iq3_s']],
  attentionV: [['q4_k', 'gqa >= 4'], ['q4_k', 'experts >= 4'], ['iq3_s']],
  ffnDown: [['iq3_s', 'first 1/8']],
  attentionOutput: [['q5_k', 'experts = 8'], ['iq3_s']],
}
const IQ4: Mixture = {
  output: OUTPUT,
  attentionV: [['q5_k', 'gqa >= 4']],
  ffnDown: [['q5_k', 'first 1/8', 'no imatrix']],
  attentionOutput: [EIGHT_EXPERTS],
}
const PLAIN: Mixture = { output: OUTPUT }
const TERNARY: Mixture = { output: OUTPUT, tokenEmbedding: [['q4_k']] }

/** The mixture of every file type that llama-quantize quantizes to. */
export const MIXTURES: Readonly<Partial<Record<NamedFileType, Mixture>>> = {
  q8_0: { output: OUTPUT_EXACT },
  q6_k: PLAIN,
  q5_k_m: {
    output: OUTPUT,
    attentionV: [['q6_k', 'more bits']],
    ffnDown: [['q6_k', 'more bits']],
  },
  q5_k_s: PLAIN,
  q5_1: PLAIN,
  q5_0: { output: OUTPUT, ffnDown: [['q5_1', 'first 1/8', 'imatrix']] },
  q4_k_m: {
    output: OUTPUT,
    attentionV: [['q6_k', 'more bits']],
    ffnDown: [
      ['q6_k', 'falcon', 'first 1/16'],
      ['q5_k', 'falcon', 'more bits'],
      ['q6_k', 'not falcon', 'more bits'],
    ],
    attentionOutput: [EIGHT_EXPERTS],
  },
  q4_k_s: {
    output: OUTPUT,
    attentionV: [['q5_k', 'first 4']],
    ffnDown: [['q5_k', 'first 1/8', 'not falcon']],
    attentionOutput: [EIGHT_EXPERTS],
  },
  q4_1: PLAIN,
  q4_0: { output: OUTPUT, ffnDown: [['q4_1', 'first 1/8', 'imatrix']] },
  iq4_nl: IQ4,
  iq4_xs: IQ4,
  mxfp4: { output: OUTPUT_EXACT, rest: [['mxfp4', 'stacked experts'], ['q8_0']] },
  q3_k_l: {
    output: OUTPUT,
    attentionV: [['q5_k']],
    ffnDown: [['q4_k', 'falcon'], ['q5_k']],
    attentionOutput: [
      ['q4_k', 'falcon'],
      ['q5_k', 'experts ≠ 8'],
    ],
  },
  q3_k_m: {
    output: OUTPUT,
    attentionV: [['q5_k', 'first 2'], ['q4_k']],
    ffnDown: [
      ['q5_k', 'first 1/16'],
      ['q4_k', 'not falcon'],
      ['q4_k', 'more bits'],
    ],
    attentionOutput: [EIGHT_EXPERTS, ['q4_k', 'not falcon']],
  },
  q3_k_s: { output: OUTPUT, attentionOutput: [EIGHT_EXPERTS] },
  q2_k: {
    output: OUTPUT,
    attentionV: [['q4_k', 'gqa >= 4'], ['q3_k']],
    ffnDown: [['q3_k']],
    attentionOutput: [EIGHT_EXPERTS, ['q3_k', 'not falcon']],
  },
  q2_k_s: {
    output: OUTPUT,
    attentionV: [['q4_k', 'gqa >= 4']],
    ffnDown: [['q4_k', 'first 1/8']],
  },
  tq2_0: TERNARY,
  tq1_0: TERNARY,
  iq3_m: {
    output: OUTPUT,
    attentionV: [['q4_k']],
    ffnDown: [
      ['q4_k', 'first 1/8'],
      ['q4_k', 'experts = 8', 'more bits'],
    ],
    attentionOutput: [EIGHT_EXPERTS, ['q4_k', 'not falcon']],
  },
  iq3_s: { output: OUTPUT, attentionV: [['q4_k', 'gqa >= 4']], attentionOutput: [EIGHT_EXPERTS] },
  iq3_xs: {
    output: OUTPUT,
    attentionV: [['q4_k', 'gqa >= 4']],
    attentionK: [['iq3_xxs']],
    attentionQ: [['iq3_xxs']],
    attentionOutput: [EIGHT_EXPERTS],
    ffnGate: [['iq3_xxs', 'middle 3/4']],
    ffnUp: [['iq3_xxs', 'middle 3/4']],
  },
  iq3_xxs: {
    output: OUTPUT_LOW,
    tokenEmbedding: [['iq3_s']],
    attentionV: [
      ['q4_k', 'gqa >= 4'],
      ['iq3_s', 'no imatrix'],
    ],
    attentionK: [['iq2_s']],
    attentionQ: [['iq2_s']],
    ffnDown: [
      ['q4_k', 'first 1/8', 'no imatrix'],
      ['q3_k', 'no imatrix'],
    ],
    attentionOutput: [EIGHT_EXPERTS, ['iq3_s', 'not falcon']],
  },
  iq2_m: ABOVE_2_BITS,
  iq2_s: ABOVE_2_BITS,
  iq2_xs: ABOUT_2_BITS,
  iq2_xxs: ABOUT_2_BITS,
  iq1_m: BELOW_2_BITS,
  iq1_s: BELOW_2_BITS,
  q2_0: TERNARY,
  q1_0: PLAIN,
}

/** File types of a few bits: of them, neither sizes nor eight experts raise attention's K and V further. */
export const LOW_BIT: ReadonlySet<NamedFileType> = new Set<NamedFileType>(['iq1_s', 'iq1_m', 'iq2_xxs', 'iq2_xs', 'iq2_s', 'iq2_m'])

/**
 * Models whose few heads of K and V are shared by many of Q: attention's V is small there, and gets more bits. As
 * llama.cpp tells a model's size: by architecture and number of layers without the prediction heads.
 */
export const SHARED_KV_MODELS: readonly { readonly architecture: string; readonly layers: number; readonly onlyIfShared: boolean }[] = [
  { architecture: 'llama', layers: 80, onlyIfShared: true },
  { architecture: 'llama-embed', layers: 80, onlyIfShared: true },
  { architecture: 'qwen2', layers: 80, onlyIfShared: false },
  { architecture: 'deci', layers: 80, onlyIfShared: false },
  { architecture: 'olmo', layers: 80, onlyIfShared: false },
  { architecture: 'jais2', layers: 68, onlyIfShared: false },
]

/** Parts of names that are q8_0 in any mixture of their architecture. */
export const EXACT_PARTS: ReadonlyMap<string, readonly string[]> = new Map([['glm5-next', ['attn_q_a', 'attn_q_b', 'nextn.eh_proj']]])

/** What a type becomes where rows are no whole blocks of it; a row that does not fit this type either is f16. */
export const FALLBACKS: ReadonlyMap<QuantType, QuantType> = new Map<QuantType, QuantType>([
  ...(['iq1_s', 'iq1_m', 'iq2_xxs', 'iq2_xs', 'iq2_s', 'iq3_xxs', 'iq3_s', 'iq4_xs'] as const).map((type) => [type, 'iq4_nl'] as const),
  ...(['q2_0', 'q2_k', 'q3_k', 'tq1_0', 'tq2_0'] as const).map((type) => [type, 'q4_0'] as const),
  ['q4_k', 'q5_0'],
  ['q5_k', 'q5_1'],
  ['q6_k', 'q8_0'],
])

/** Types that are worth nothing without an importance matrix. */
export const NEED_IMPORTANCE: ReadonlySet<QuantType> = new Set<QuantType>(['iq3_xxs', 'iq2_xxs', 'iq2_xs', 'iq2_s', 'iq1_m', 'iq1_s'])
