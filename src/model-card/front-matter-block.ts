/**
 * The lines between the marks of a README's front matter, through the YAML reader, as plain data.
 *
 * Law: PyYAML's safe_load, as front-matter.ts has it.
 */
import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { ParsedNode } from 'yaml'

import { FormatError, quoted } from '../core/errors.js'
import { indentFlowLines } from './flow-indent.js'
import { plainScalar } from './yaml-scalar.js'
import type { CardMap, CardValue } from './yaml-scalar.js'

const MAX_DEPTH = 64 // benchmark results nest 7 levels
const MAX_MERGED_KEYS = 100_000 // `<<: [*a, *a, ...]` may ask for the product of their number and size

/** What a README says about its model. */
export interface FrontMatter {
  readonly data: CardMap
  /** What was left out or is odd, one sentence each. */
  readonly notes: readonly string[]
}

/** @throws FormatError, or what the YAML reader throws, when a block cannot be used */
export function readBlock(block: string): FrontMatter {
  // failsafe: every scalar stays text, and the reader below gives it PyYAML's type
  // logLevel: nothing is printed either way, but 'silent' would also hide a second document
  const options = { version: '1.1', schema: 'failsafe', strict: false, uniqueKeys: false, prettyErrors: false, logLevel: 'error' } as const
  let document = parseDocument(block, options)
  const fault = document.errors[0]
  if (fault !== undefined) document = parseDocument(indentFlowLines(block), options)
  if (fault !== undefined && document.errors.length > 0) throw new FormatError(`line ${lineOf(block, fault.pos[0])}: ${fault.message}`)
  if (document.contents === null) return { data: new Map(), notes: [] }
  const notes: string[] = []
  const data = new NodeReader(notes).value(document.contents, 0)
  if (data instanceof Map) return { data, notes }
  if (data === null) return { data: new Map(), notes }
  throw new FormatError('it is not a list of "key: value" lines.')
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
