/** Parts of a tokenizer.json, as the tokenizers library writes them. */

export const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }

/** An entry of `added_tokens`. */
export function addedToken(id: number, content: string, special: boolean, normalized = false) {
  return { id, content, special, normalized, single_word: false, lstrip: false, rstrip: false }
}
