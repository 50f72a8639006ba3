/**
 * Python's str methods where JavaScript's differ: white space, decimal digits, islower, title. Model names go through
 * them in the reference, so a name with an odd space or letter must come out the same.
 *
 * Law: CPython 3.11 Objects/unicodectype.c and unicodeobject.c (`do_title`); compared with it over all code points.
 */

// str.isspace: has U+001C..U+001F and U+0085, which \s lacks, and not U+FEFF, which \s has
const SPACE = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const SPACES = new RegExp(`[${SPACE}]+`, 'u')
const ONE_SPACE = new RegExp(`^[${SPACE}]$`, 'u')

/** str.strip() */
export function strip(text: string): string {
  // no pattern: `[space]+$` takes quadratic time on a long run of spaces inside
  let start = 0
  let end = text.length
  while (start < end && ONE_SPACE.test(text[start] ?? '')) start++
  while (end > start && ONE_SPACE.test(text[end - 1] ?? '')) end--
  return text.slice(start, end)
}

/** str.split() without arguments: words between runs of white space. */
export function words(text: string): string[] {
  return text.split(SPACES).filter((word) => word !== '')
}

/** str.islower(): at least one lower-case letter, and no upper-case or title-case one. */
export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)
}

/** str.isalpha() of one character. */
export function isAlpha(character: string): boolean {
  return /^\p{L}$/u.test(character)
}

/** str.isdecimal() of one character. */
export function isDecimal(character: string): boolean {
  return /^\p{Nd}$/u.test(character)
}

/** The decimal digits of any script as 0-9: float() takes them all. */
export function asciiDigits(text: string): string {
  return text.replace(/(?![0-9])\p{Nd}/gu, (digit) => String(digitValue(digit.codePointAt(0) ?? 0)))
}

// Unicode keeps each script's digits 0-9 together, and neighbouring sets (the mathematical ones) in multiples of ten
function digitValue(code: number): number {
  let start = code
  while (isDecimal(String.fromCodePoint(start - 1))) start--
  return (code - start) % 10
}

/**
 * str.title() of a text for which isLower holds: every cased letter after an uncased character (a digit and an
 * apostrophe are uncased: `c4ai` becomes `C4Ai`, `it's` `It'S`) takes its title form.
 */
export function titleOfLower(text: string): string {
  let out = ''
  let afterCased = false
  for (const character of text) {
    out += afterCased ? character : titleForm(character)
    afterCased = /^\p{Cased}$/u.test(character)
  }
  return out
}

const GEORGIAN = /^[\u10d0-\u10fa\u10fd-\u10ff]$/u // has capitals, but no title form of its own
const DIGRAPHS: ReadonlyMap<string, string> = new Map([
  ['ǆ', 'ǅ'],
  ['ǉ', 'ǈ'],
  ['ǌ', 'ǋ'],
  ['ǳ', 'ǲ'],
])
const GREEK_IOTA_BELOW = /^[\u1f80-\u1fff]$/u

/** A letter's title form: its capital, except where one capital would be several letters. */
function titleForm(character: string): string {
  if (GEORGIAN.test(character)) return character
  const capital = character.toUpperCase()
  const [first = '', ...rest] = capital
  if (rest.length === 0) return DIGRAPHS.get(character) ?? capital
  if (!GREEK_IOTA_BELOW.test(character)) return isCased(first) ? first + rest.join('').toLowerCase() : capital
  if (rest.at(-1) !== 'Ι') return capital
  // the iota stays below the capital: one character where there is one
  const below = `${capital.slice(0, -1)}\u0345`
  return rest.length === 1 ? below.normalize('NFC') : below
}

function isCased(character: string): boolean {
  return /^\p{Cased}$/u.test(character)
}
