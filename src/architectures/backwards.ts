/**
 * The rows of an architecture read from right to left: for a tensor of a GGUF file, the Hugging Face name that an adapter
 * knows it by, and how its rows lie there. So an adapter goes into an existing GGUF by the same table that converts.
 */
import { FormatError, UnsupportedError } from '../core/errors.js'
import type { Json } from '../core/json.js'
import type { KeyValue } from '../core/key-value.js'
import { undone } from '../core/row-maps.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { Config } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { firstOf } from './registry.js'
import { ROLES } from './roles.js'
import { filledTemplate, TemplateTrie, type Match } from './templates.js'
import type { TensorProgram } from './transform.js'
import { TRANSFORMS } from './transforms.js'

/** One tensor of a GGUF file as its Hugging Face model has it. */
export interface BackwardTensor {
  /** As the checkpoint spells it. */
  readonly name: string
  /** The stored rows in the checkpoint's order. */
  readonly original: RowProgram
  /** Takes rows in the checkpoint's order (the merged tensor) to the file's. */
  readonly toGguf: (program: RowProgram) => RowProgram
}

/** Finds the Hugging Face side of tensors. Undefined for tensors that no adapter can name (rope factors). */
export type Backwards = (tensor: TensorInfo) => BackwardTensor | undefined

/**
 * @param name       value of `general.architecture`
 * @param keyValues  the file's metadata, for head counts
 * @throws UnsupportedError when the architecture is not in the table
 */
export function readBackwards(name: string, keyValues: readonly KeyValue[], file: string): Backwards {
  const backwards = knownBackwards(name, keyValues, file)
  if (backwards !== undefined) return backwards
  throw new UnsupportedError(
    `adapters cannot be merged into a GGUF of architecture "${name}" yet: how its tensors are named in Hugging Face is not known here. An adapter that is a GGUF itself can.`,
    { file },
  )
}

/** The same, or undefined when the architecture is not in the table. */
export function knownBackwards(name: string, keyValues: readonly KeyValue[], file: string): Backwards | undefined {
  const architecture = firstOf(name)
  if (architecture === undefined) return undefined
  const config = configOf(architecture, keyValues, file)
  const rules = new TemplateTrie<TensorRule>()
  for (const rule of architecture.rules) {
    const [role, ...more] = rule.roles
    if (role !== undefined && more.length === 0 && rule.group === undefined) rules.add(ROLES[role].gguf + rule.suffix, rule)
  }
  return (tensor) => {
    const [match] = rules.match(tensor.name)
    return match && backwardTensor(tensor, match, config)
  }
}

/** The Hugging Face side of a tensor by a row; undefined when the row changes more than the order of rows. */
export function backwardTensor(tensor: TensorInfo, { value: rule, captures }: Match<TensorRule>, config: Config): BackwardTensor | undefined {
  const source = filledTemplate(rule.pieces[0]?.[0] ?? '', captures)
  const read: RowProgram = { op: 'read', tensor }
  const context = { config, block: captures.block, tokenCount: undefined }
  const toGguf = (program: RowProgram): RowProgram =>
    rule.transforms.reduce<readonly TensorProgram[]>((before, word) => TRANSFORMS[word].apply(before, context), [{ source, shape: tensor.shape, program }])[0]
      ?.program ?? program
  const original = asStored(toGguf, read)
  return original === undefined ? undefined : { name: source, original, toGguf }
}

/** The stored rows in the checkpoint's order; undefined also where the file does not say what turning them back needs. */
function asStored(toGguf: (program: RowProgram) => RowProgram, read: RowProgram): RowProgram | undefined {
  try {
    return undone(toGguf(read), read, read)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

/** Numbers that every GGUF has -> what configs call them: rows may compute these keys instead of copying them. */
const COMMON_KEYS: readonly (readonly [key: string, spelling: string])[] = [
  ['attention.head_count', 'num_attention_heads'],
  ['attention.head_count_kv', 'num_key_value_heads'],
  ['embedding_length', 'hidden_size'],
]

/** What transforms ask the config, from the metadata that was made of it. */
function configOf(architecture: Architecture, keyValues: readonly KeyValue[], file: string): Config {
  const metadata = new Map(keyValues.map(({ key, value }) => [key, value]))
  const values = new Map<string, Json>()
  for (const [key, spelling] of COMMON_KEYS) {
    const value = metadata.get(`${architecture.gguf}.${key}`)
    if (value?.type === 'u32') values.set(spelling, value.value)
  }
  for (const [key, , source] of architecture.definition.hparams) {
    const value = metadata.get(`${architecture.gguf}.${key}`)
    const spelling = typeof source === 'string' ? source : Array.isArray(source) ? (source as readonly string[])[0] : undefined
    if (spelling !== undefined && value?.type === 'u32') values.set(spelling, value.value)
  }
  return { values, file, path: '' }
}
