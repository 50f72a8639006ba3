/**
 * Writes the table of adapters in README.md, between its markers, from the tables of the code; run it after `npm run build`.
 * With --check it writes nothing and ends with 1 when the table is another. test/docs-adapters.test.ts runs that.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mergedLoraFields, refusedLoraFields, supportedDiffusionKinds, supportedFormats, supportedPeftTypes } from '../dist/src/adapters/supported.js'
import { PROJECT, fail, say } from './setup.mjs'

const README = join(PROJECT, 'README.md')
const BEGIN = '<!-- adapters: written by scripts/readme-adapters.mjs -->'
const END = '<!-- /adapters -->'

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const merged = (rows) =>
  cell(
    rows
      .filter(({ refused }) => refused === undefined)
      .map(({ name }) => name)
      .join(', '),
  ) || 'none'

/** Refused ones with the same reason are one row. */
function refusedRows(what, rows) {
  const byReason = new Map()
  for (const { name, refused } of rows) if (refused !== undefined) byReason.set(refused, [...(byReason.get(refused) ?? []), name])
  return [...byReason].map(([reason, names]) => `| ${what} | ${cell(names.join(', '))} | ${cell(reason.replace(/\.$/, ''))} |`)
}

const [formats, types, kinds] = [supportedFormats(), supportedPeftTypes(), supportedDiffusionKinds()]
const table = [
  '| | merged |',
  '|---|---|',
  `| Formats | ${merged(formats)} |`,
  `| Kinds of PEFT (\`peft_type\`) | ${merged(types)} |`,
  `| Forms of LoRA | ${merged(mergedLoraFields())} |`,
  `| Kinds of kohya, LyCORIS and diffusers, with cores and DoRA | ${merged(kinds)} |`,
  '',
  '| | refused | why, or what to do |',
  '|---|---|---|',
  ...refusedRows('Formats', formats),
  ...refusedRows('Kinds of PEFT', types),
  ...refusedRows('Kinds of LyCORIS', kinds),
  ...refusedRows('Forms of LoRA', refusedLoraFields()),
].join('\n')

const text = readFileSync(README, 'utf8')
const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
if (begin < 0 || end < begin) fail('README.md has no markers for the table of adapters')
const wanted = `${text.slice(0, begin + BEGIN.length)}\n${table}\n${text.slice(end)}`
if (process.argv.includes('--check')) {
  if (wanted !== text) fail('the table of adapters in README.md is another than the tables of the code: npm run build && node scripts/readme-adapters.mjs')
} else {
  writeFileSync(README, wanted)
  say('README.md: table of adapters written')
}
