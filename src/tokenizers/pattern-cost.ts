/**
 * How many ways a regex has to match: a bound for backtracking, so that a pattern from an untrusted tokenizer.json is
 * run only when it cannot hang. An estimate from above: sequences multiply, alternatives add, `x*` counts TEXT_LENGTH.
 *
 * Nothing here understands what the pattern matches; patterns that are merely unusual may be called too dear.
 */

const TEXT_LENGTH = 420 // UTF-16 units of the check text, the only text that untrusted patterns are run on
const MAX_PATTERN_LENGTH = 4096
const MAX_DEPTH = 16

/** @returns ways to match, Infinity for what cannot be bounded: a repeated repetition, a back reference, a broken pattern */
export function patternCost(pattern: string): number {
  if (pattern.length > MAX_PATTERN_LENGTH) return Infinity
  const scan = { pattern, at: 0 }
  const cost = alternativesCost(scan, 0)
  return scan.at < pattern.length ? Infinity : cost
}

interface Scan {
  readonly pattern: string
  at: number
}

function alternativesCost(scan: Scan, depth: number): number {
  if (depth > MAX_DEPTH) return Infinity
  let total = 0
  let sequence = 1
  while (scan.at < scan.pattern.length && scan.pattern[scan.at] !== ')') {
    if (scan.pattern[scan.at] === '|') {
      total += sequence
      sequence = 1
      scan.at++
    } else sequence *= repeatedCost(scan, atomCost(scan, depth))
    if (sequence === Infinity) return Infinity
  }
  return total + sequence
}

/** One atom: a group, a class, an escape, a character. Leaves `at` behind it. */
function atomCost(scan: Scan, depth: number): number {
  const { pattern } = scan
  const char = pattern[scan.at++]
  if (char === '\\') return escapeCost(scan)
  if (char === '[') return classCost(scan)
  if (char !== '(') return 1
  const prefix = /^\?(?:[:=!>]|<[=!]|<\w+>|[imsx-]*:)/.exec(pattern.slice(scan.at, scan.at + 64))
  if (prefix === null && pattern[scan.at] === '?') return Infinity
  scan.at += prefix?.[0].length ?? 0
  const cost = alternativesCost(scan, depth + 1)
  if (pattern[scan.at] !== ')') return Infinity
  scan.at++
  return cost
}

function escapeCost(scan: Scan): number {
  const letter = scan.pattern[scan.at++]
  if (letter === undefined || /[1-9kgX]/.test(letter)) return Infinity
  if ((letter === 'p' || letter === 'P' || letter === 'u' || letter === 'x') && scan.pattern[scan.at] === '{') {
    const end = scan.pattern.indexOf('}', scan.at)
    if (end < 0) return Infinity
    scan.at = end + 1
  }
  return 1
}

/** A character class, whose brackets may nest (Oniguruma). */
function classCost(scan: Scan): number {
  if (scan.pattern[scan.at] === '^') scan.at++
  if (scan.pattern[scan.at] === ']') scan.at++
  for (let open = 1; open > 0; scan.at++) {
    const char = scan.pattern[scan.at]
    if (char === undefined) return Infinity
    if (char === '\\') scan.at++
    else if (char === '[') open++
    else if (char === ']') open--
  }
  return 1
}

/** The quantifier after an atom, when there is one. */
function repeatedCost(scan: Scan, atom: number): number {
  const quantifier = /^(?:[*+?]|\{(\d{1,6})(?:,(\d{0,6}))?\})[?+]?/.exec(scan.pattern.slice(scan.at, scan.at + 20))
  if (quantifier === null) return atom
  scan.at += quantifier[0].length
  const [text, least, most] = quantifier
  if (text.startsWith('?')) return atom + 1
  const times = least === undefined || most === '' ? TEXT_LENGTH : Number(most ?? least)
  if (atom > 1) return times <= 4 ? atom ** times * times : Infinity
  return least !== undefined && most === undefined ? 1 : Math.min(times, TEXT_LENGTH)
}
