/**
 * The golden suite: every test file that reads the golden data, counted. Fails when one test fails or is skipped, or when the data is not there.
 *
 *   node scripts/golden.mjs [WORD ...]      runs the suite (only the files whose name holds a word)
 *   node scripts/golden.mjs --from-report   counts the suite in the last full `npm test`, without running it again
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PROJECT, fail, isMain, setup } from './setup.mjs'
import { REPORT, runTests, testFiles } from './test.mjs'

/** The golden data: $GOLDEN_DIR, else ../shared/golden. Ends the process when there is none: a suite that skips everything proves nothing. */
export function goldenFolder() {
  const places = [process.env['GOLDEN_DIR'], join(PROJECT, '..', 'shared', 'golden')].filter((place) => place !== undefined)
  return places.find((place) => existsSync(place)) ?? fail(`no golden data at ${places.join(' or ')}; set $GOLDEN_DIR`)
}

/** Whether a compiled test reads the golden data, itself or through a module of test/support. */
function isGolden(file) {
  const text = readFileSync(file, 'utf8')
  if (/\bGOLDEN\b/.test(text)) return true
  const supports = [...text.matchAll(/from '(\.\/support\/[^']+)'/g)].map(([, path]) => join(dirname(file), path))
  return supports.some((path) => basename(path) !== 'paths.js' && /\bGOLDEN\b/.test(readFileSync(path, 'utf8')))
}

/** The outcome of each test in the golden files, from the report of the last run. */
function outcomes(files) {
  const lines = existsSync(REPORT) ? readFileSync(REPORT, 'utf8').trimEnd().split('\n') : []
  const tests = lines.filter((line) => line !== '').map((line) => JSON.parse(line))
  const missing = files.filter((file) => !tests.some((test) => test.file === file))
  if (missing.length > 0) fail(`the last test run did not hold ${missing.map((file) => basename(file)).join(', ')}; run all tests first`)
  return tests.filter((test) => files.includes(test.file))
}

if (isMain(import.meta.url)) {
  await setup()
  const folder = goldenFolder()
  const args = process.argv.slice(2)
  const files = testFiles(args.filter((arg) => !arg.startsWith('-'))).filter(isGolden)
  if (files.length === 0) fail('no test reads the golden data')
  if (!args.includes('--from-report')) runTests(files)
  const tests = outcomes(files)
  const count = (outcome) => tests.filter((test) => test.outcome === outcome).length
  for (const { outcome, file, name, reason } of tests)
    if (outcome !== 'pass') console.log(`golden: ${outcome}: ${basename(file)}: ${name}${reason ? ` (${reason})` : ''}`)
  console.log(`golden: ${count('pass')} of ${tests.length} held, ${count('skip')} skipped (${files.length} files over ${folder})`)
  process.exitCode = count('pass') === tests.length ? 0 : 1
}
