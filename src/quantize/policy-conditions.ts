/**
 * The closed vocabulary of conditions that mixtures.ts uses: each is a question about one tensor and its model.
 *
 * Law: llama-quant.cpp `use_more_bits` and the conditions of `llama_tensor_get_type_impl` (llama.cpp 0c1e570). All
 * divisions are C's, towards zero.
 */
import type { TensorCategory } from './tensor-categories.js'

/** What the conditions ask. */
export interface TensorFacts {
  readonly architecture: string
  readonly category: TensorCategory
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** Elements of a block of the file type's own type. */
  readonly blockElements: number
  /** Which of `count` this tensor is: the layer of a feed-forward matrix, the how-maniest V. */
  readonly index: number
  readonly count: number
  /** Heads of Q for each head of K and V in the first layer; 0 without attention. */
  readonly headsPerKv: number
  /** Experts of a layer; 0 or 1 for dense models. */
  readonly experts: number
  /** Whether the whole run has an importance matrix. */
  readonly imatrix: boolean
}

// oxfmt-ignore
export const CONDITIONS = {
  'falcon': ({ architecture }) => architecture === 'falcon',
  'not falcon': ({ architecture }) => architecture !== 'falcon',
  'cut blocks': ({ shape, blockElements }) => (shape.at(-1) ?? 1) % blockElements !== 0,
  'gqa >= 4': ({ headsPerKv }) => headsPerKv >= 4,
  'experts >= 4': ({ experts }) => experts >= 4,
  'experts = 8': ({ experts }) => experts === 8,
  'experts ≠ 8': ({ experts }) => experts !== 8,
  'imatrix': ({ imatrix }) => imatrix,
  'no imatrix': ({ imatrix }) => !imatrix,
  'first 2': ({ index }) => index < 2,
  'first 4': ({ index }) => index < 4,
  'first 1/16': ({ index, count }) => index < Math.floor(count / 16),
  'first 1/8': ({ index, count }) => index < Math.floor(count / 8),
  'middle 3/4': ({ index, count }) => index >= Math.floor(count / 8) && index < Math.floor((7 * count) / 8),
  'more bits': moreBits,
  // MLA's projections have three dimensions too, and of Bailing 3 they stay out
  'stacked experts': ({ architecture, category, shape }) => (shape.at(-3) ?? 1) > 1 && (architecture !== 'bailingmoe3' || category.startsWith('ffn')),
} satisfies Record<string, (facts: TensorFacts) => boolean>

export type Condition = keyof typeof CONDITIONS

/** The first and the last eighth, and every third between. */
function moreBits({ index, count }: TensorFacts): boolean {
  const eighth = Math.floor(count / 8)
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2
}
