/**
 * Rows of a family and one Hugging Face class of it -> a table that is quick to ask: which row is this tensor's, and
 * which tensors must there be.
 */
import { InternalError } from '../core/errors.js'
import type { Architecture, ArchitectureDefinition, ClassVariant, PresenceWord, TensorRow, TensorRule } from './define.js'
import { TemplateTrie } from './templates.js'
import { TRANSFORMS, type TransformName } from './transforms.js'

const PRESENCE: ReadonlySet<string> = new Set<PresenceWord>(['bias', 'bias?', 'noWeight', 'tied', 'optional', 'exact', 'exactBias'])

/** Every class of a family. @throws InternalError when two rows claim one name */
export function compileArchitecture(definition: ArchitectureDefinition): Architecture[] {
  return definition.huggingFace.map((entry) => {
    const [name, variant] = typeof entry === 'string' ? [entry, {}] : entry
    const rules = definition.tensors.flatMap((row) => (variant.without?.includes(row[1]) ? [] : rulesOf(row, variant)))
    return { name, gguf: definition.gguf, tokenizer: definition.tokenizer, definition, rules, names: trieOf(rules, name) }
  })
}

function rulesOf([source, role, ...words]: TensorRow, variant: ClassVariant): TensorRule[] {
  const has = (word: PresenceWord): boolean => words.includes(word)
  const transforms = words.filter((word): word is TransformName => !PRESENCE.has(word) && Object.hasOwn(TRANSFORMS, word))
  const spellings = spelled(source, variant)
  const rule = (from: string, suffix: TensorRule['suffix'], presence: TensorRule['presence']): TensorRule => ({
    role,
    sources: spellings.map((name) => name + from),
    suffix,
    transforms,
    presence: has('optional') ? 'optional' : presence,
  })
  if (has('exact') || has('exactBias')) return [rule('', has('exact') ? '.weight' : '.bias', 'required')]
  const rules: TensorRule[] = []
  if (!has('noWeight')) rules.push(rule('.weight', '.weight', has('tied') ? 'tied' : 'required'))
  if (has('bias') || has('bias?')) rules.push(rule('.bias', '.bias', has('bias') ? 'required' : 'optional'))
  return rules
}

/** A source path as a class spells it, where its names begin otherwise. */
function spelled(source: string, { prefixes = [] }: ClassVariant): string[] {
  const spellings = prefixes.filter(([inRows]) => source.startsWith(inRows)).map(([inRows, inCheckpoint]) => inCheckpoint + source.slice(inRows.length))
  return spellings.length > 0 ? spellings : [source]
}

function trieOf(rules: readonly TensorRule[], name: string): TemplateTrie<TensorRule> {
  const trie = new TemplateTrie<TensorRule>()
  for (const rule of rules) for (const source of rule.sources) trie.add(source, rule)
  for (const source of rules.flatMap((rule) => rule.sources)) {
    // A template matches itself with its placeholders numbered: so two rows for one name show when the table is loaded.
    const rivals = trie.match(source.replace('{block}', '0').replace('{expert}', '0'))
    if (rivals.length !== 1) throw new InternalError(`${name}: ${rivals.length} rows claim ${source}`)
  }
  return trie
}
