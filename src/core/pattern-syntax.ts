/**
 * Parses a regular expression of Python's `re` into a small tree; safe-pattern.ts runs it. Only what a linear-time
 * matcher can do is known: literals, `.`, classes, groups, `|`, repeats and anchors. Lookaround, backreferences,
 * flags, atomic groups and possessive repeats are refused by name.
 *
 * Law: CPython 3.12 Lib/re/_parser.py (what is malformed, `{` as a literal, `]` first in a class). Digits, word
 * characters and space are Unicode's, as in a str pattern; `$` also stands before a final newline.
 */
import { FormatError, quoted, UnsupportedError } from './errors.js'
import { CHARACTER_ESCAPES, CLASS_ESCAPES, HEX_ESCAPES, not, type Accepts } from './pattern-characters.js'

/** Where a pattern holds without taking a character. */
export type PatternAnchor = 'textStart' | 'lineEnd' | 'textEnd' | 'wordEdge' | 'notWordEdge'

export type PatternNode =
  | { readonly kind: 'character'; readonly accepts: Accepts }
  | { readonly kind: 'sequence'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly options: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly item: PatternNode; readonly least: number; readonly most: number }
  | { readonly kind: 'anchor'; readonly at: PatternAnchor }

const MAX_SOURCE_CHARACTERS = 65_536 // largest seen: 9 KB (generated alternation of module names)
const MAX_DEPTH = 64 // parser and compiler recurse once per group; hand-written patterns nest 3 deep
const MAX_REPEAT = 65_535 // beyond it any copy of a body would pass the limit on states anyway

const ANCHOR_ESCAPES: ReadonlyMap<string, PatternAnchor> = new Map([
  ['A', 'textStart'],
  ['Z', 'textEnd'],
  ['b', 'wordEdge'],
  ['B', 'notWordEdge'],
])
/** What may follow `(?`, and what it is called when it is refused. */
const REFUSED_GROUPS: readonly (readonly [string, string])[] = [
  ['=', 'lookahead'],
  ['!', 'negative lookahead'],
  ['<=', 'lookbehind'],
  ['<!', 'negative lookbehind'],
  ['>', 'atomic groups'],
  ['P=', 'backreferences'],
  ['(', 'conditional groups'],
  ['#', 'comments'],
]

/**
 * Parses a pattern.
 * @param source  the pattern's text
 * @param file    where it stands, for messages
 * @throws FormatError when Python's `re` would not compile it, UnsupportedError when only a backtracking matcher could run it
 */
export function parsePattern(source: string, file: string): PatternNode {
  if (source.length > MAX_SOURCE_CHARACTERS) {
    throw new UnsupportedError(`the pattern ${quoted(source)} is longer than ${MAX_SOURCE_CHARACTERS} characters.`, { file })
  }
  return new PatternParser(source, file).pattern()
}

class PatternParser {
  private readonly source: string
  private readonly file: string
  private at = 0
  private depth = 0

  constructor(source: string, file: string) {
    this.source = source
    this.file = file
  }

  pattern(): PatternNode {
    const node = this.choice()
    if (this.at < this.source.length) throw this.malformed('a ")" closes no group')
    return node
  }

  private choice(): PatternNode {
    if (++this.depth > MAX_DEPTH) throw this.unsupported(`groups nested deeper than ${MAX_DEPTH}`)
    const options = [this.sequence()]
    while (this.taken('|')) options.push(this.sequence())
    this.depth--
    return options.length === 1 && options[0] !== undefined ? options[0] : { kind: 'choice', options }
  }

  private sequence(): PatternNode {
    const items: PatternNode[] = []
    let repeated = false // the item before is `x*` itself, not a group that holds it
    for (;;) {
      const next = this.source[this.at]
      if (next === undefined || next === '|' || next === ')') return { kind: 'sequence', items }
      const repeat = this.repeat()
      if (repeat === undefined) {
        items.push(this.item())
        repeated = false
        continue
      }
      const item = items.pop()
      if (item === undefined || item.kind === 'anchor') throw this.malformed('nothing to repeat')
      if (repeated) throw this.malformed('multiple repeat')
      items.push({ kind: 'repeat', item, ...repeat })
      repeated = true
    }
  }

  /** A repeat at the cursor, or undefined (also for a `{` that Python takes literally). */
  private repeat(): { least: number; most: number } | undefined {
    const bounds = this.bounds()
    if (bounds === undefined) return undefined
    if (this.source[this.at] === '+') throw this.unsupported('possessive repeats')
    this.taken('?') // lazy: which match is found first does not matter here
    return bounds
  }

  private bounds(): { least: number; most: number } | undefined {
    if (this.taken('*')) return { least: 0, most: Infinity }
    if (this.taken('+')) return { least: 1, most: Infinity }
    if (this.taken('?')) return { least: 0, most: 1 }
    const braces = /^\{(\d*)(?:(,)(\d*))?\}/.exec(this.source.slice(this.at, this.at + 24))
    if (braces === null || braces[0] === '{}') return undefined
    this.at += braces[0].length
    const least = Number(braces[1] ?? '')
    const upper = braces[2] === undefined ? braces[1] : braces[3]
    const most = upper === undefined || upper === '' ? Infinity : Number(upper)
    if (most < least) throw this.malformed('a repeat whose least is above its most')
    if (least > MAX_REPEAT || (most !== Infinity && most > MAX_REPEAT)) throw this.unsupported(`repeats of more than ${MAX_REPEAT}`)
    return { least, most }
  }

  private item(): PatternNode {
    const start = this.at
    const codePoint = this.next()
    switch (String.fromCodePoint(codePoint)) {
      case '(':
        return this.group(start)
      case '[':
        return { kind: 'character', accepts: this.characterClass(start) }
      case '.':
        return { kind: 'character', accepts: (c) => c !== 0x0a }
      case '^':
        return { kind: 'anchor', at: 'textStart' }
      case '$':
        return { kind: 'anchor', at: 'lineEnd' }
      case '\\':
        return this.escape()
    }
    return literal(codePoint)
  }

  private group(start: number): PatternNode {
    if (this.taken('?') && !this.taken(':')) this.namedGroup()
    const node = this.choice()
    if (!this.taken(')')) throw this.malformed('a group does not end', start)
    // a sequence of its own, so that a repeat inside it can be repeated
    return { kind: 'sequence', items: [node] }
  }

  private namedGroup(): void {
    const refused = REFUSED_GROUPS.find(([opening]) => this.source.startsWith(opening, this.at))
    if (refused !== undefined) throw this.unsupported(refused[1])
    const name = /^P<[A-Za-z_]\w*>/.exec(this.source.slice(this.at, this.at + 256))
    if (name !== null) this.at += name[0].length
    else if (/^[aiLmsux-]/.test(this.source.slice(this.at, this.at + 1))) throw this.unsupported('flags')
    else throw this.malformed('unknown kind of group')
  }

  private escape(): PatternNode {
    const letter = this.source[this.at] ?? ''
    const accepts = CLASS_ESCAPES.get(letter)
    const anchor = ANCHOR_ESCAPES.get(letter)
    if (accepts === undefined && anchor === undefined) {
      if (/^[1-9]$/.test(letter)) throw this.unsupported('backreferences')
      return literal(this.escapedCharacter())
    }
    this.at++
    return anchor === undefined ? { kind: 'character', accepts: accepts ?? (() => false) } : { kind: 'anchor', at: anchor }
  }

  /** After a backslash: the one character it stands for. */
  private escapedCharacter(): number {
    if (this.at >= this.source.length) throw this.malformed('a backslash stands at the end')
    const letter = this.source[this.at] ?? ''
    const hexDigits = HEX_ESCAPES.get(letter)
    if (hexDigits !== undefined) {
      const hex = this.source.slice(this.at + 1, this.at + 1 + hexDigits)
      if (hex.length < hexDigits || !/^[0-9a-fA-F]+$/.test(hex) || Number.parseInt(hex, 16) > 0x10ffff) throw this.malformed('an incomplete escape')
      this.at += 1 + hexDigits
      return Number.parseInt(hex, 16)
    }
    if (/^[0-9N]$/.test(letter)) throw this.unsupported(`the escape \\${letter}`)
    const named = CHARACTER_ESCAPES.get(letter)
    if (named === undefined && /^[A-Za-z]$/.test(letter)) throw this.malformed(`the unknown escape \\${letter}`)
    const codePoint = this.next()
    return named ?? codePoint
  }

  private characterClass(start: number): Accepts {
    const negated = this.taken('^')
    const tests: Accepts[] = []
    for (let first = true; first || this.source[this.at] !== ']'; first = false) {
      if (this.at >= this.source.length) throw this.malformed('a character class does not end', start)
      const low = this.classMember()
      if (this.source[this.at] !== '-' || this.source[this.at + 1] === ']' || this.at + 1 >= this.source.length) {
        tests.push(typeof low === 'number' ? (c) => c === low : low)
        continue
      }
      this.at++
      const high = this.classMember()
      if (typeof low !== 'number' || typeof high !== 'number' || high < low) throw this.malformed('a bad range in a character class', start)
      tests.push((c) => c >= low && c <= high)
    }
    this.at++
    const accepts: Accepts = (c) => tests.some((test) => test(c))
    return negated ? not(accepts) : accepts
  }

  private classMember(): number | Accepts {
    const codePoint = this.next()
    if (codePoint !== 0x5c) return codePoint
    const letter = this.source[this.at] ?? ''
    const accepts = CLASS_ESCAPES.get(letter)
    if (accepts === undefined && letter !== 'b') return this.escapedCharacter()
    this.at++
    return accepts ?? 0x08
  }

  private next(): number {
    const codePoint = this.source.codePointAt(this.at) ?? 0
    this.at += codePoint > 0xffff ? 2 : 1
    return codePoint
  }

  private taken(character: string): boolean {
    if (this.source[this.at] !== character) return false
    this.at++
    return true
  }

  private malformed(what: string, at = this.at): FormatError {
    return new FormatError(`the pattern ${quoted(this.source)} is no regular expression: ${what} (character ${at + 1}).`, { file: this.file })
  }

  private unsupported(what: string): UnsupportedError {
    return new UnsupportedError(`the pattern ${quoted(this.source)} uses ${what}; patterns here may use literals, classes, groups, |, repeats and anchors.`, {
      file: this.file,
    })
  }
}

function literal(codePoint: number): PatternNode {
  return { kind: 'character', accepts: (c) => c === codePoint }
}
