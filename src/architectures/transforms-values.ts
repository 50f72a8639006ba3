/** Words that change values, or leave tensors out because of them. */
import { UnsupportedError } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import { readUint } from './config.js'
import { each, only, rowsFrom, type TensorProgram, type Transform } from './transform.js'

export const VALUE_TRANSFORMS = {
  /** Norms that are stored as their difference from one. */
  addOne: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: 1 } }), 'changesValues'),
  /** The same where a bias goes with them, which stays. */
  addOneToWeight: each(
    (tensor) => (tensor.source.endsWith('.bias') ? tensor : { ...tensor, program: { op: 'addConstant', input: tensor.program, value: 1 } }),
    'changesValues',
  ),
  /** The same for PLaMo's norms behind a part, which begin smaller. */
  addFifth: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: Math.fround(1 / 5) } }), 'changesValues'),
  addSmallerFifth: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: Math.fround(1 / 5 ** 1.5) } }), 'changesValues'),
  /** -(e^x): the decay of state-space layers, which are stored as its logarithm. */
  negExp: each((tensor) => ({ ...tensor, program: { op: 'apply', input: tensor.program, function: 'negExp' } }), 'changesValues'),
  /** Left out when all of it is zero: biases that a class has and a checkpoint does not use. */
  dropZero: { ...only((tensor) => !isZero(tensor)), needsValues: true },
  /** Left out; refused unless all of it is zero: llama.cpp computes these models without biases. */
  refuseNonZero: {
    ...only((tensor) => {
      if (isZero(tensor)) return false
      throw new UnsupportedError('is not zero; llama.cpp computes this architecture without this bias.', { tensor: tensor.source })
    }),
    needsValues: true,
  },
  /** An output that the checkpoint repeats though config.json says that it is the embedding. */
  dropWhenTied: only((_, { config }) => config.values.get('tie_word_embeddings') !== true),
  /** An embedding with rows of zeros for the tokens that it lacks. */
  padToVocabulary: each(
    (tensor, { config }) => padded(tensor, readUint(config, 'vocab_size')),
    (tensor, _, before) => (before === undefined ? tensor : rowsFrom(tensor, 0, before.shape[0] ?? 0)),
  ),
  /** An embedding without the rows that the tokenizer has no tokens for. */
  cropToTokens: each(
    (tensor, { tokenCount }) => (tokenCount === undefined || tokenCount >= (tensor.shape[0] ?? 0) ? tensor : rowsFrom(tensor, 0, tokenCount)),
    (tensor, _, before) => padded(tensor, before?.shape[0] ?? 0),
  ),
} as const satisfies Record<string, Transform>

function isZero({ values }: TensorProgram): boolean {
  return values?.every((value) => value === 0) === true
}

/** With rows of zeros up to a number of them. */
function padded(tensor: TensorProgram, wanted: number): TensorProgram {
  const [rows = 0, cols = 1] = tensor.shape
  if (rows >= wanted) return tensor
  const zeros: RowProgram = { op: 'fill', rows: wanted - rows, cols, value: 0 }
  return { source: tensor.source, shape: [wanted, cols], program: { op: 'stack', parts: [tensor.program, zeros] } }
}
