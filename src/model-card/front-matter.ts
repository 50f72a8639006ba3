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
import { printable } from '../core/errors.js'
import type { FrontMatter } from './front-matter-block.js'

const MAX_FRONT_MATTER = 2_097_152 // characters; cards with long lists of benchmark results reach 0.5 MB
const MAX_INDICATORS = 150_000 // the YAML reader takes 10 us and 2 KB for each; 0.5 MB of benchmark results has 60,000
const MAX_OPEN = 500 // brackets and dashes: the YAML reader recurses into them

/** Reads the front matter of a README's text; no front matter gives no data. Never rejects. */
export async function readFrontMatter(text: string): Promise<FrontMatter> {
  const block = frontMatterBlock(text)
  if (block === undefined) {
    const marked = /^\ufeff---[\r\n]/.test(text)
    return { data: new Map(), notes: marked ? ['The metadata of README.md is not used: a byte order mark stands before its first "---".'] : [] }
  }
  const refused = refusal(block)
  if (refused !== undefined) return ignored(refused)
  try {
    const { readBlock } = await import('./front-matter-block.js') // not at the top: the YAML reader is 73 files
    return readBlock(block)
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
