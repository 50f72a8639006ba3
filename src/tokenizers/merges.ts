/**
 * BPE merges as GGUF wants them: "left right", one string each.
 *
 * Law: gguf-py vocab.py `_try_load_from_tokenizer_json`: strings are taken verbatim; pairs (transformers >= 4.45) are
 * joined by a space, after which a space inside a part is written Ġ, U+0120, as the byte-level alphabet has it.
 */
import { FormatError } from '../core/errors.js'
import { isArray, kindOf, type Json } from '../core/json.js'

/** @param merges `model.merges` of a tokenizer.json; anything but a list counts as none @throws FormatError */
export function readMerges(merges: Json | undefined, file: string): string[] {
  if (!isArray(merges)) return []
  return typeof merges[0] === 'string' ? merges.map((merge, index) => text(merge, index, file)) : merges.map((merge, index) => joined(merge, index, file))
}

/** What merges make: left and right as one piece. @param merges `model.merges` of a tokenizer.json; anything but a list counts as none @throws FormatError */
export function mergedPieces(merges: Json | undefined, file: string): string[] {
  if (!isArray(merges)) return []
  if (typeof merges[0] !== 'string') return merges.map((merge, index) => pair(merge, index, file).join(''))
  return merges.map((merge, index) => {
    const written = text(merge, index, file)
    const space = written.indexOf(' ', 1)
    return written.slice(0, space) + written.slice(space + 1)
  })
}

function joined(merge: Json, index: number, file: string): string {
  const [left, right] = pair(merge, index, file)
  return `${spaced(left)} ${spaced(right)}`
}

function pair(merge: Json, index: number, file: string): [string, string] {
  if (!isArray(merge) || merge.length !== 2)
    throw new FormatError(`merge ${index} is ${kindOf(merge)}; all merges must be strings, or all pairs of strings.`, { file })
  return [text(merge[0], index, file), text(merge[1], index, file)]
}

function spaced(part: string): string {
  return part.includes(' ') ? part.replaceAll(' ', '\u0120') : part
}

function text(value: Json | undefined, index: number, file: string): string {
  if (typeof value !== 'string') throw new FormatError(`merge ${index} holds ${kindOf(value)}, a string wanted.`, { file })
  return value
}
