/**
 * The memory that a model takes beside its file when it runs: keys and values of the context, and room to compute in. A
 * rule of thumb, said to the user as such.
 */
import type { KeyValue } from '../core/key-value.js'

const TOKENS = 8192
const BYTES_OF_F16 = 2
const COMPUTE_BYTES = 2 ** 30

export interface ContextRoom {
  /** Tokens of context that room is left for; fewer where the model was made for fewer. */
  readonly tokens: number
  /** Keys and values of so many tokens in f16. */
  readonly contextBytes: number
  /** For buffers, and for what else is on the card. */
  readonly computeBytes: number
}

/** @param keyValues  metadata of the file; what it does not say counts as nothing */
export function contextRoom(keyValues: readonly KeyValue[], architecture: string): ContextRoom {
  const values = new Map(keyValues.map(({ key, value }) => [key, value]))
  const numbers = (name: string): readonly number[] => {
    const value = values.get(`${architecture}.${name}`)
    if (value === undefined) return []
    const list: ArrayLike<unknown> = value.type === 'array' ? value.value : [value.value]
    return Array.from(list, Number)
  }
  const number = (name: string): number | undefined => numbers(name)[0]
  const tokens = Math.min(TOKENS, number('context_length') ?? TOKENS)
  const layers = number('block_count') ?? 0
  const heads = number('attention.head_count') ?? 0
  const ofEachLayer = numbers('attention.head_count_kv')
  const kvHeads = ofEachLayer.length > 1 ? ofEachLayer.reduce((sum, count) => sum + count, 0) : layers * (ofEachLayer[0] ?? heads)
  const width = heads === 0 ? 0 : (number('embedding_length') ?? 0) / heads
  const perHead = (number('attention.key_length') ?? width) + (number('attention.value_length') ?? width)
  return { tokens, contextBytes: Math.round(tokens * kvHeads * perHead * BYTES_OF_F16), computeBytes: COMPUTE_BYTES }
}
