/**
 * README.md -> the metadata block at its head, as plain data. Nothing in a README stops a conversion: what cannot be
 * read is left out with a note. (The reference's YAML reader would end with an error there.)
 *
 *     ---
 *     license: apache-2.0
 *     ---
 *     # The card itself
 *
 * Law: gguf-py gguf/metadata.py `load_model_card`: the first line is exactly `---`; Python's line ends; `- no` (Norwegian)
 * is quoted; tabs are two spaces; PyYAML's safe_load (values: yaml-scalar.ts; the last of equal keys wins; `<<` merges).
 */
import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { ParsedNode } from 'yaml'

import { FormatError, printable, quoted } from '../core/errors.js'
import { indentFlowLines } from './flow-indent.js'
import { plainScalar } from './yaml-scalar.js'
import type { CardMap, CardValue } from './yaml-scalar.js'

const MAX_FRONT_MATTER = 2_097_152 // characters; cards with long lists of benchmark results reach 0.5 MB
const MAX_INDICATORS = 150_000 // the YAML reader takes 10 us and 2 KB for each; 0.5 MB of benchmark results has 60,000
const MAX_DEPTH = 64 // benchmark results nest 7 levels
const MAX_OPEN = 500 // brackets and dashes: the YAML reader recurses into them
const MAX_MERGED_KEYS = 100_000 // `<<: [*a, *a, ...]` may ask for the product of their number and size

/** What a README says about its model. */
export interface FrontMatter {
  readonly data: CardMap
  /** What was left out or is odd, one sentence each. */
  readonly notes: readonly string[]
}

/** Reads the front matter of a README's text; no front matter gives no data. Never throws. */
export function readFrontMatter(text: string): FrontMatter {
  const block = frontMatterBlock(text)
  if (block === undefined) {
    const marked = /^\ufeff---[\r\n]/.test(text)
    return { data: new Map(), notes: marked ? ['The metadata of README.md is not used: a byte order mark stands before its first "---".'] : [] }
  }
  const refused = refusal(block)
  if (refused !== undefined) return ignored(refused)
  try {
    return parse(block)
  } catch (error) {
    // the YAML reader recurses, and throws errors of its own kinds
    return ignored(error instanceof Error ? error.message : String(error))
  }
}

function ignored(why: string): FrontMatter {
  return { data: new Map(), notes: [`The metadata of README.md cannot be read and is not used: ${printable(why.replaceAll(/\s+/g, ' '))}`] }
}

// str.splitlines(), behind a reader that makes \r\n and \r to \n
// oxlint-disable-next-line no-control-regex -- these are line ends
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/u

function frontMatterBlock(text: string): string | undefined {
  const first = LINE_END.exec(text)
  if (first === null || text.slice(0, first.index) !== '---') return undefined
  const lines = text.slice(first.index + first[0].length).split(LINE_END)
  const end = lines.indexOf('---')
  const block = `${(end < 0 ? lines : lines.slice(0, end)).join('\n')}\n`
  return block.replaceAll('- no\n', '- "no"\n').replaceAll('\t', '  ')
}

const INDICATORS = new Set('[]{},:-?&*!#@%\n')

/** Why a block is not given to the YAML reader, which has no limits of its own. */
function refusal(block: string): string | undefined {
  if (block.length > MAX_FRONT_MATTER) return `it has more than ${MAX_FRONT_MATTER} characters.`
  let [open, dashes, indicators] = [0, 0, 0]
  for (const character of block) {
    if (INDICATORS.has(character) && ++indicators > MAX_INDICATORS) return `it has more than ${MAX_INDICATORS} parts.`
    if (character === '[' || character === '{') open++
    else if (character === ']' || character === '}') open = Math.max(0, open - 1)
    // `- - - -` on one line nests as deep as brackets do
    if (character === '-' || character === '?' || character === ':') dashes++
    else if (character !== ' ') dashes = 0
    if (open > MAX_OPEN || dashes > MAX_OPEN) return 'it is nested too deeply.'
  }
  return undefined
}

function parse(block: string): FrontMatter {
  // failsafe: every scalar stays text, and the reader below gives it PyYAML's type
  // logLevel: nothing is printed either way, but 'silent' would also hide a second document
  const options = { version: '1.1', schema: 'failsafe', strict: false, uniqueKeys: false, prettyErrors: false, logLevel: 'error' } as const
  let document = parseDocument(block, options)
  const fault = document.errors[0]
  if (fault !== undefined) document = parseDocument(indentFlowLines(block), options)
  if (fault !== undefined && document.errors.length > 0) return ignored(`line ${lineOf(block, fault.pos[0])}: ${fault.message}`)
  if (document.contents === null) return { data: new Map(), notes: [] }
  const notes: string[] = []
  const data = new NodeReader(notes).value(document.contents, 0)
  if (data instanceof Map) return { data, notes }
  return data === null ? { data: new Map(), notes } : ignored('it is not a list of "key: value" lines.')
}

// the file's own lines: the first is the ---
function lineOf(block: string, offset: number): number {
  return block.slice(0, offset).split('\n').length + 1
}

/** Turns YAML nodes into plain values. An alias gives the very value of its anchor, so that aliases cost nothing. */
class NodeReader {
  private readonly anchors = new Map<string, CardValue>()
  private readonly notes: string[]
  private merged = 0

  constructor(notes: string[]) {
    this.notes = notes
  }

  value(node: ParsedNode | null, depth: number): CardValue {
    if (depth > MAX_DEPTH) throw new FormatError('it is nested too deeply.')
    if (node === null) return null
    if (isAlias(node)) {
      const value = this.anchors.get(node.source)
      return value === undefined ? { other: 'an alias without an anchor before it' } : value
    }
    const value = this.content(node, depth)
    if (node.anchor !== undefined) this.anchors.set(node.anchor, value)
    return value
  }

  private content(node: ParsedNode, depth: number): CardValue {
    if (isMap(node)) return this.map(node.items, depth)
    if (isSeq(node)) return node.items.map((item) => this.value(item, depth + 1))
    return isScalar(node) ? this.scalar(String(node.value), node.type === 'PLAIN', node.tag) : null
  }

  /** Keys that are not text are dropped: nothing asks for them. */
  private map(items: readonly { readonly key: ParsedNode; readonly value: ParsedNode | null }[], depth: number): CardMap {
    const own = new Map<string, CardValue>()
    const merges: CardMap[] = []
    for (const { key, value } of items) {
      const read = this.value(value, depth + 1)
      if (isScalar(key) && key.type === 'PLAIN' && key.value === '<<') merges.unshift(...this.mergeSources(read)) // of two `<<` the later one wins
      else {
        const name = this.value(key, depth + 1)
        if (typeof name === 'string') own.set(name, read)
      }
    }
    return merges.length === 0 ? own : this.withMerges(own, merges)
  }

  private mergeSources(source: CardValue): readonly CardMap[] {
    const sources = Array.isArray(source) ? (source as readonly CardValue[]) : [source]
    return sources.map((one) => {
      if (!(one instanceof Map)) throw new FormatError('"<<" stands for a value that is no map.')
      return one as CardMap
    })
  }

  private withMerges(own: CardMap, merges: readonly CardMap[]): CardMap {
    const all = new Map<string, CardValue>()
    for (const source of merges) {
      this.merged += source.size
      if (this.merged > MAX_MERGED_KEYS) throw new FormatError('it merges too many keys ("<<").')
      for (const [key, value] of source) if (!all.has(key)) all.set(key, value)
    }
    for (const [key, value] of own) all.set(key, value)
    return all
  }

  private scalar(text: string, plain: boolean, tag: string | undefined): CardValue {
    switch (tag) {
      case undefined:
        return plain ? plainScalar(text) : text
      case 'tag:yaml.org,2002:str':
        return text
      case 'tag:yaml.org,2002:null':
        return null
      case '!': // no tag in particular: PyYAML looks at the text, even a quoted one
      case 'tag:yaml.org,2002:bool':
      case 'tag:yaml.org,2002:int':
      case 'tag:yaml.org,2002:float':
        return plainScalar(text)
      case 'tag:yaml.org,2002:binary':
        return { other: 'binary data' }
      case 'tag:yaml.org,2002:timestamp':
        return { other: 'a date' }
      default:
        if (this.notes.length === 0) this.notes.push(`README.md: the YAML tag ${quoted(tag)} is not known; its value is taken as text.`)
        return text
    }
  }
}
