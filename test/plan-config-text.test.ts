/** config.json edited as text: what is taken out is gone, all else keeps its digits, order and lines. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { withField, withoutField } from '../src/plan/config-text.js'

describe('a field of a config', () => {
  it('is taken out with its value and one comma, wherever it stands', () => {
    const cases = [
      ['{"a": 1, "q": {"x": [1, {"y": "}"}]}, "b": 1e-05}', '{"a": 1, "b": 1e-05}'],
      ['{"q": null, "b": 2}', '{"b": 2}'],
      ['{"a": 1,\n  "q": {"q": 3}\n}', '{"a": 1\n}'],
      ['{"q": "a\\"},b"}', '{}'],
      ['{"text_config": {"q": {}, "z": 1}, "q": [1]}', '{"text_config": {"z": 1}}'],
    ] as const
    for (const [text, wanted] of cases) assert.equal(withoutField(text, 'q'), wanted)
  })

  it('is left alone where it is no key', () => {
    const text = '{"a": "q", "b": ["q", "\\"q\\": 1"], "qq": 1, "c": "\\\\"}'
    assert.equal(withoutField(text, 'q'), text)
  })

  it('is set where the text has it, else first of all', () => {
    assert.equal(withField('{"a": {"v": 1}, "v": null}', 'v', 7), '{"a": {"v": 7}, "v": 7}')
    assert.equal(withField('{"a": 1}', 'v', false), '{\n  "v": false,"a": 1}')
  })
})
