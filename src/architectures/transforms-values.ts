/** Words that change values, or leave tensors out because of them. */
import { UnsupportedError } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import { readUint } from './config.js'
import { rowsFrom, each, parts, type Transform } from './transform.js'

export const VALUE_TRANSFORMS = {
  /** Norms that are stored as their difference from one. */
  addOne: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: 1 } })),
  /** The same where a bias goes with them, which stays. */
  addOneToWeight: each((tensor) => (tensor.source.endsWith('.bias') ? tensor : { ...tensor, program: { op: 'addConstant', input: tensor.program, value: 1 } })),
  /** The same for PLaMo's norms behind a part, which begin smaller. */
  addFifth: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: Math.fround(1 / 5) } })),
  addSmallerFifth: each((tensor) => ({ ...tensor, program: { op: 'addConstant', input: tensor.program, value: Math.fround(1 / 5 ** 1.5) } })),
  /** -(e^x): the decay of state-space layers, which are stored as its logarithm. */
  negExp: each((tensor) => ({ ...tensor, program: { op: 'apply', input: tensor.program, function: 'negExp' } })),
  /** Left out when all of it is zero: biases that a class has and a checkpoint does not use. */
  dropZero: { ...parts((tensor) => (tensor.values?.every((value) => value === 0) === true ? [] : [tensor])), needsValues: true },
  /** Left out; refused unless all of it is zero: llama.cpp computes these models without biases. */
  refuseNonZero: {
    ...parts((tensor) => {
      if (tensor.values?.every((value) => value === 0) === true) return []
      throw new UnsupportedError('is not zero; llama.cpp computes this architecture without this bias.', { tensor: tensor.source })
    }),
    needsValues: true,
  },
  /** An output that the checkpoint repeats though config.json says that it is the embedding. */
  dropWhenTied: parts((tensor, { config }) => (config.values.get('tie_word_embeddings') === true ? [] : [tensor])),
  /** An embedding with rows of zeros for the tokens that it lacks. */
  padToVocabulary: each((tensor, { config }) => {
    const [rows = 0, cols = 1] = tensor.shape
    const wanted = readUint(config, 'vocab_size')
    if (rows >= wanted) return tensor
    const zeros: RowProgram = { op: 'fill', rows: wanted - rows, cols, value: 0 }
    return { source: tensor.source, shape: [wanted, cols], program: { op: 'stack', parts: [tensor.program, zeros] } }
  }),
  /** An embedding without the rows that the tokenizer has no tokens for. */
  cropToTokens: each((tensor, { tokenCount }) => (tokenCount === undefined || tokenCount >= (tensor.shape[0] ?? 0) ? tensor : rowsFrom(tensor, 0, tokenCount))),
} as const satisfies Record<string, Transform>
