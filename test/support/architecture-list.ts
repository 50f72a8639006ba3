/** docs/architectures.md as the tables have it. */
import { FAMILIES } from '../../src/architectures/registry.js'
import { TOKENIZER_RECIPES } from '../../src/core/tokenizer-recipes.js'

const HEAD = `# Architectures

Made from the tables in \`src/architectures/families\` (\`UPDATE_DOCS=1 npm test -- docs-architectures\` writes it again).
Every class here has a tiny model in \`fixtures/architectures\` whose conversion is compared with the reference's, byte for byte, and which llama.cpp loads
and runs, where it can: the exceptions stand in \`test/architectures-llama-cpp.test.ts\` and \`test/support/architecture-gaps.ts\`.
Of models with eyes or ears the text model converts; the rest is left out, and said.

| GGUF architecture | Hugging Face classes | tokenizer |
|---|---|---|
`

/** One row per GGUF architecture, in alphabetical order. */
export function architectureList(): string {
  const rows = new Map<string, { classes: string[]; recipes: Set<string> }>()
  for (const { gguf, huggingFace, tokenizer } of FAMILIES) {
    const row = rows.get(gguf) ?? { classes: [], recipes: new Set<string>() }
    rows.set(gguf, row)
    row.classes.push(...huggingFace.map((entry) => (typeof entry === 'string' ? entry : entry[0])))
    row.recipes.add(TOKENIZER_RECIPES[tokenizer].reads)
  }
  const lines = [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([gguf, { classes, recipes }]) => `| ${gguf} | ${classes.join(', ')} | ${[...recipes].join('; or ').replaceAll('|', '\\|')} |`)
  const classes = new Set([...rows.values()].flatMap((row) => row.classes)) // some become one or another by their config
  return `${HEAD}${lines.join('\n')}\n\n${rows.size} architectures, ${classes.size} classes.\n`
}
