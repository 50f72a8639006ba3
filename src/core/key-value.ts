/**
 * GGUF metadata as plain data: an ordered list of typed key-values. Rooms that derive metadata (architectures,
 * tokenizers, model-card) speak this; formats/gguf writes it.
 *
 * Law: ggml docs/gguf.md; order = order of first addition, as gguf-py's writer keeps it.
 */

/** A typed metadata value. Numbers of the 64-bit integer types are bigint, all others number. */
export type MetadataValue =
  | { readonly type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'; readonly value: number }
  | { readonly type: 'u64' | 'i64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly items: 'string'; readonly value: readonly string[] }
  | { readonly type: 'array'; readonly items: 'bool'; readonly value: readonly boolean[] }
  | { readonly type: 'array'; readonly items: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'; readonly value: ArrayLike<number> }
  | { readonly type: 'array'; readonly items: 'u64' | 'i64'; readonly value: ArrayLike<bigint> }

export interface KeyValue {
  readonly key: string
  readonly value: MetadataValue
}

export const u32 = (value: number): MetadataValue => ({ type: 'u32', value })
export const i32 = (value: number): MetadataValue => ({ type: 'i32', value })
export const f32 = (value: number): MetadataValue => ({ type: 'f32', value })
export const bool = (value: boolean): MetadataValue => ({ type: 'bool', value })
export const string = (value: string): MetadataValue => ({ type: 'string', value })
export const strings = (value: readonly string[]): MetadataValue => ({ type: 'array', items: 'string', value })

/** Each key once: at the place of its first addition, with the value of its last, as gguf-py's writer keeps them. */
export function inPlace(keyValues: readonly KeyValue[]): KeyValue[] {
  return [...new Map(keyValues.map(({ key, value }) => [key, value]))].map(([key, value]) => ({ key, value }))
}

/** The value of a key; undefined when the list has no such key. */
export function valueOf(keyValues: readonly KeyValue[], wanted: string): MetadataValue | undefined {
  return keyValues.find(({ key }) => key === wanted)?.value
}

/** The text of a key; undefined also when its value is no string. */
export function textOf(keyValues: readonly KeyValue[], wanted: string): string | undefined {
  const value = valueOf(keyValues, wanted)
  return value?.type === 'string' ? value.value : undefined
}
