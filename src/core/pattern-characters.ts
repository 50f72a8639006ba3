/**
 * Character classes and escapes of patterns.
 *
 * Law: CPython's `re` for str patterns: digits are Unicode's Nd, word characters its letters and numbers and `_`,
 * space what str.isspace says.
 */

/** Whether a character belongs to a class. */
export type Accepts = (codePoint: number) => boolean

const isDigit: Accepts = (c) => (c < 128 ? c >= 0x30 && c <= 0x39 : /^\p{Nd}$/u.test(String.fromCodePoint(c)))
const isSpace: Accepts = (c) =>
  (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c === 0x85 || (c >= 0xa0 && /^[\p{Zs}\u2028\u2029]$/u.test(String.fromCodePoint(c)))

/** Python's `\w`: letters, numbers of any kind, underscore. */
export function isWordCharacter(c: number): boolean {
  if (c < 128) return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || c === 0x5f || (c >= 0x61 && c <= 0x7a)
  return /^[\p{L}\p{N}]$/u.test(String.fromCodePoint(c))
}

/** The opposite. */
export const not =
  (accepts: Accepts): Accepts =>
  (c) =>
    !accepts(c)

/** `\d` and its kin. */
export const CLASS_ESCAPES: ReadonlyMap<string, Accepts> = new Map([
  ['d', isDigit],
  ['D', not(isDigit)],
  ['s', isSpace],
  ['S', not(isSpace)],
  ['w', isWordCharacter],
  ['W', not(isWordCharacter)],
])
/** Escapes of one character, as code points. */
export const CHARACTER_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['a', 0x07],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
])
/** Escapes by number, and how many hexadecimal digits they take. */
export const HEX_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['x', 2],
  ['u', 4],
  ['U', 8],
])
