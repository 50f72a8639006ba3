/**
 * `npm test [-- WORD ... --node-option ...]`: sets up, then runs the compiled tests under node:test.
 *
 * A word picks the test files whose name holds it (`npm test -- engine`); what starts with `-` is handed to node (`--test-name-pattern=...`).
 * Files are listed one by one because `node --test FOLDER` means different things on Node 20, 22 and 24.
 */
import { basename, join, relative } from 'node:path'
import { PROJECT, fail, filesUnder, isMain, runNode, setup } from './setup.mjs'

/** Where each run leaves one JSON line per test, for scripts/golden.mjs to count. */
export const REPORT = join(PROJECT, 'dist', 'test-report.jsonl')

/** The compiled test files whose name holds one of the words; all without words. */
export function testFiles(words = []) {
  const files = filesUnder(join(PROJECT, 'dist', 'test')).filter((file) => file.endsWith('.test.js'))
  return words.length === 0 ? files : files.filter((file) => words.some((word) => basename(file).includes(word)))
}

/** Runs test files in two processes at a time (the suites start child processes of their own); gives the exit code. */
export function runTests(files, nodeOptions = []) {
  const env = { ...process.env }
  delete env['NODE_TEST_CONTEXT'] // set when a test runs this script: the inner run would report to the outer one
  const toTerminal = ['--test-reporter=spec', '--test-reporter-destination=stdout']
  const toReport = ['--test-reporter=./scripts/test-report.mjs', `--test-reporter-destination=${relative(PROJECT, REPORT)}`]
  return runNode(['--test', '--test-concurrency=2', ...toTerminal, ...toReport, ...nodeOptions, ...files.map((file) => relative(PROJECT, file))], { env })
}

if (isMain(import.meta.url)) {
  await setup()
  const args = process.argv.slice(2)
  const words = args.filter((arg) => !arg.startsWith('-'))
  const files = testFiles(words)
  if (files.length === 0) fail(words.length === 0 ? 'there are no tests' : `no test file has ${words.map((word) => `"${word}"`).join(' or ')} in its name`, 2)
  process.exitCode = runTests(
    files,
    args.filter((arg) => arg.startsWith('-')),
  )
}
