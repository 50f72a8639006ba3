/** README's table of adapters is what the code's tables say. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { mergedLoraFields, refusedLoraFields, supportedDiffusionKinds, supportedFormats, supportedPeftTypes } from '../src/adapters/supported.js'
import { PROJECT } from './support/paths.js'

describe('the table of adapters', () => {
  it('in README is the one that the code gives (npm run build && node scripts/readme-adapters.mjs writes it)', () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [join(PROJECT, 'scripts', 'readme-adapters.mjs'), '--check'], { encoding: 'utf8' })
    assert.equal(status, 0, `${stderr}${stdout}`)
  })

  it('names every format, and every kind once, as merged or refused with a reason', () => {
    const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8')
    const rows = [...supportedFormats(), ...supportedPeftTypes(), ...supportedDiffusionKinds(), ...refusedLoraFields()]
    for (const { name, refused } of rows) {
      assert.ok(readme.includes(name), name)
      assert.ok(refused === undefined || refused.length > 5, name)
    }
    const reader = readFileSync(join(PROJECT, 'src', 'adapters', 'peft', 'peft-config.ts'), 'utf8')
    for (const { name } of mergedLoraFields()) {
      assert.ok(readme.includes(name), name)
      assert.ok(reader.includes(`'${/`(\w+)`/.exec(name)?.[1]}'`), `${name} is read`)
    }
    const names = supportedPeftTypes().map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    for (const merged of ['PEFT', 'LoRA', 'AdaLoRA']) assert.equal(rows.find(({ name }) => name === merged)?.refused, undefined, merged)
    assert.match(rows.find(({ name }) => name.includes('PREFIX_TUNING'))?.refused ?? '', /virtual tokens/)
  })
})
