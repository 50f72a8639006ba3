/**
 * Rows of a family and one Hugging Face class of it -> a table that is quick to ask: which row is this tensor's, and
 * which tensors must there be.
 */
import { InternalError } from '../core/errors.js'
import {
  rolesOf,
  sourcesOf,
  type Architecture,
  type ArchitectureDefinition,
  type ClassEntry,
  type ClassVariant,
  type PieceOfRule,
  type TensorRow,
  type TensorRule,
} from './define.js'
import { TemplateTrie } from './templates.js'
import { TRANSFORMS, type TransformName } from './transforms.js'

/** Words that say that the source is one whole tensor -> the suffix it has in the file. */
const EXACT_SUFFIXES: ReadonlyMap<string, TensorRule['suffix']> = new Map([
  ['exact', '.weight'],
  ['exactBias', '.bias'],
  ['exactScale', '.scale'],
  ['bare', ''],
])

/** Every class of a family. @throws InternalError when two rows claim one name */
export function compileArchitecture(definition: ArchitectureDefinition): Architecture[] {
  return definition.huggingFace.map((entry) => compileClass(definition, entry))
}

/** One class of a family. @throws InternalError when two rows claim one name */
export function compileClass(definition: ArchitectureDefinition, entry: ClassEntry): Architecture {
  const [name, own] = typeof entry === 'string' ? [entry, {}] : entry
  const variant: ClassVariant = { ...(definition.prefixes === undefined ? {} : { prefixes: definition.prefixes }), ...own }
  const rows = definition.tensors.filter(([, roles]) => !rolesOf(roles).every((role) => variant.without?.includes(role)))
  const rules = rows.flatMap((row) => rulesOf(row, variant))
  const names = trieOf(
    rules,
    name,
    [...(definition.leftOut ?? []), ...(definition.reads ?? [])].flatMap((left) => spelled(left, variant)),
  )
  return { name, gguf: definition.gguf, tokenizer: definition.tokenizer, definition, rules, names }
}

function rulesOf([sources, roles, ...words]: TensorRow, variant: ClassVariant): TensorRule[] {
  const has = (word: string): boolean => words.some((one) => one === word)
  const transforms = words.filter((word): word is TransformName => Object.hasOwn(TRANSFORMS, word))
  const layers = words.find((word) => word.startsWith('layers:'))?.slice('layers:'.length)
  const rule = (from: string, suffix: TensorRule['suffix'], presence: TensorRule['presence']): TensorRule => {
    const pieces = sourcesOf(sources).map((source) => spelled(source, variant).map((name) => name + from))
    return { roles: rolesOf(roles), pieces, suffix, transforms, presence: has('optional') ? 'optional' : presence, layers, group: groupOf(pieces, suffix) }
  }
  for (const [word, suffix] of EXACT_SUFFIXES) if (has(word)) return [rule('', suffix, 'required')]
  const rules: TensorRule[] = []
  if (!has('noWeight')) rules.push(rule('.weight', '.weight', has('tied') ? 'tied' : 'required'))
  if (has('bias') || has('bias?')) rules.push(rule('.bias', '.bias', has('bias') ? 'required' : 'optional'))
  return rules
}

/** Members of one list, up to their numbers, belong together; so do the tensors that become one. */
function groupOf([first = [], ...others]: readonly (readonly string[])[], suffix: string): string | undefined {
  const [name = ''] = first
  const list = name.indexOf('{expert}')
  return list >= 0 ? name.slice(0, list) + suffix : others.length > 0 ? name : undefined
}

/** A source path as a class spells it, where its names begin otherwise. */
function spelled(source: string, { prefixes = [] }: ClassVariant): string[] {
  const spellings = prefixes.filter(([inRows]) => source.startsWith(inRows)).map(([inRows, inCheckpoint]) => inCheckpoint + source.slice(inRows.length))
  return spellings.length > 0 ? spellings : [source]
}

function trieOf(rules: readonly TensorRule[], name: string, leftOut: readonly string[]): TemplateTrie<PieceOfRule | 'leftOut'> {
  const trie = new TemplateTrie<PieceOfRule | 'leftOut'>()
  for (const rule of rules) rule.pieces.forEach((spellings, piece) => spellings.forEach((source) => trie.add(source, { rule, piece })))
  for (const source of leftOut) trie.add(source, 'leftOut')
  for (const source of [...rules.flatMap(({ pieces }) => pieces.flat()), ...leftOut]) {
    // A template matches itself with its placeholders numbered: so two rows for one name show when the table is loaded.
    const rivals = trie.match(source.replace('{block}', '0').replace('{expert}', '0'))
    if (rivals.length !== 1) throw new InternalError(`${name}: ${rivals.length} rows claim ${source}`)
  }
  return trie
}
