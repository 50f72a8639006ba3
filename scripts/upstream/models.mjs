/**
 * The part `models`: makes the models of fixtures/architectures again, lets the newer converter run, and compares keys, types and bytes.
 * Needs no golden set.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from '../setup.mjs'
import { modelChanges } from './compare-models.mjs'
import { python, runCases } from './run-python.mjs'

const MAKERS = join(PROJECT, 'fixtures', 'make', 'architectures')
const FIXTURES = join(PROJECT, 'fixtures', 'architectures')

/** The models here, by case. */
export function readModels(folder = FIXTURES) {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : []
  const fixtures = names.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
  const models = new Map(fixtures.map((fixture) => [fixture.case, fixture]))
  for (const [name, fixture] of models) models.set(name, whole(fixture, models))
  return models
}

/** @param wanted  cases to make and compare */
export function modelsPart({ work, environment, report, log }, wanted) {
  const before = readModels()
  const alike = wanted.map((name) => before.get(name)?.like).filter((name) => name !== undefined)
  const makers = join(work, 'fixtures', 'make', 'architectures')
  cpSync(MAKERS, makers, { recursive: true })
  mkdirSync(join(work, 'fixtures', 'architectures'), { recursive: true }) // pack.py writes beside its makers
  const own = { ...environment, ORACLE_OUT: join(work, 'models') }
  mkdirSync(own.ORACLE_OUT)
  const cases = [...new Set([...wanted, ...alike])]
  const { broken, results } = runCases([join(makers, 'make.py')], cases, { environment: own, log, parse: outcomes })
  if (broken !== undefined) return report.notRun('models', 'all', broken)
  const packed = python([join(makers, 'pack.py')], { environment: own, log })
  if (!packed.isDone) return report.notRun('models', 'all', `pack.py: ${packed.why}`)
  const after = readModels(join(work, 'fixtures', 'architectures'))
  for (const name of wanted) {
    const [here, there] = [before.get(name), after.get(name)]
    const changes = there === undefined ? [{ where: '', what: `not made there: ${results.get(name)}` }] : modelChanges(here, there)
    report.compared('model', name, changes)
  }
}

/** make.py's lines: a case's name, then what it is, or MAKER FAILED and why. */
function outcomes(stdout) {
  return new Map([...stdout.matchAll(/^(\S+) +(?:MAKER FAILED (.*)|.*)$/gm)].map(([, name, why]) => [name, why]))
}

/** A fixture without what it shares with the one that it is like has that in place. */
function whole(fixture, models) {
  const { tensors, keys, written, outtypes, fileTypes, files } = models.get(fixture.like) ?? {}
  return fixture.fails === undefined ? { tensors, keys, written, outtypes, fileTypes, files, ...fixture } : { tensors, ...fixture }
}
