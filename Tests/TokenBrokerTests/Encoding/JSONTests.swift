import Foundation
import TestSupport
import Testing
@testable import TokenBroker

struct JSONTests {
    private func parse(_ text: String, depth: Int = 32) -> Result<JSONValue, JSONError> {
        Result { () throws(JSONError) in try JSONValue.parse(Array(text.utf8), maximumDepth: depth) }
    }

    @Test(arguments: [
        (#"{"a": 1, "a": 2}"#, JSONError.duplicateKey), (#"{"a": 1, "\u0061": 2}"#, .duplicateKey),
        (#"{"\ud83d\ude00": 1, "😀": 2}"#, .duplicateKey), (#"[{"x": {"b": 1, "c": [], "b": 2}}]"#, .duplicateKey),
        ("[[[[[[]]]]]]", .tooDeep), (#"{"a":{"a":{"a":{"a":{"a":{}}}}}}"#, .tooDeep), ("[[[[[[", .tooDeep),
        ("", .malformed), (" ", .malformed), ("{", .malformed), ("}", .malformed), ("]", .malformed), ("[", .malformed),
        (#"{"a"}"#, .malformed), (#"{"a": 1,}"#, .malformed), ("[1,]", .malformed), ("[,1]", .malformed),
        ("[1,,2]", .malformed), (#"{,"a": 1}"#, .malformed), (#"{"a": 1 "b": 2}"#, .malformed),
        (#"{"a" 1}"#, .malformed), (#"{"a":: 1}"#, .malformed), (#"{1: 1}"#, .malformed), ("[1}", .malformed),
        (#"{"a": "#, .malformed), (#""abc"#, .malformed), (#"{"a": 1} x"#, .malformed), ("1 2", .malformed),
        ("nul", .malformed), ("nulll", .malformed), ("True", .malformed), ("NaN", .malformed), ("Infinity", .malformed),
        (#"{'a': 1}"#, .malformed), ("{a: 1}", .malformed), ("[1 2]", .malformed), ("/**/1", .malformed),
        (#"{"\"#, .malformed),
        ("{\"\u{1}\": 1}", .malformed), ("\"\t\"", .malformed), ("\"\n\"", .malformed), ("\u{a0}1", .malformed),
        ("\u{b}1", .malformed), ("1\u{0}", .malformed), ("01", .malformed), ("-", .malformed), ("+1", .malformed),
        (".5", .malformed), ("1.", .malformed), ("1.e1", .malformed), ("1e", .malformed), ("1e+", .malformed),
        ("--1", .malformed), ("0x1", .malformed), ("1_0", .malformed), ("١", .malformed), (#""\x41""#, .malformed),
        (#""\u12""#, .malformed), (#""\u12g4""#, .malformed), (#""\ud800""#, .malformed), (#""\udc00""#, .malformed),
        (#""\ud800\u0041""#, .malformed), (#""\ud800x""#, .malformed), (#""\ud800\ud800""#, .malformed),
        (#""\"#, .malformed), (#""\u"#, .malformed),
    ])
    func `JSON that RFC 8259 does not allow is refused`(text: String, expected: JSONError) {
        #expect(parse(text, depth: 5) == .failure(expected), "\(text)")
    }

    @Test(arguments: [String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf32LittleEndian, .utf32BigEndian])
    func `JSON in other encodings than UTF-8 is refused`(encoding: String.Encoding) throws {
        for text in [#"["∀", [[[[]]]]]"#, "{\"a\": 1}", "7"] {
            let bytes = Array(try #require(text.data(using: encoding)))
            #expect(throws: JSONError.malformed) { try JSONValue.parse(bytes, maximumDepth: 4) }
        }
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0xAF], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF],
        ] as [[UInt8]])
    func `bytes that are not UTF-8 are refused in JSON strings and names`(bytes: [UInt8]) {
        for text in [Array(#"""#.utf8) + bytes + Array(#"""#.utf8), Array(#"{""#.utf8) + bytes + Array(#"": 1}"#.utf8)]
        {
            #expect(throws: JSONError.malformed) { try JSONValue.parse(text) }
        }
    }

    @Test func `JSON that RFC 8259 allows is read`() throws {
        let value = try parse(
            #"{"a": [1, -2.5, true, null, "x\n\u00e9\ud83d\ude00\/"], "b": {"a": {}}, "": "", "e": [ ]}"#
        ).get()
        let expected: JSONValue = [
            "a": .array([.number(1), .number(-2.5), .bool(true), .null, .string("x\né😀/")]), "b": ["a": [:]], "": "",
            "e": .array([]),
        ]
        #expect(value == expected)
        #expect(try JSONValue.parse(value.serialized) == value)
        // The same name in different objects is no duplicate, nor is a name that occurs as a value.
        _ = try parse(#"[{"a": 1}, {"a": "a"}, {"b": {"a": 1}, "a": 2}]"#).get()
        #expect(try parse("\u{FEFF} \t\r\n7 ").get() == .number(7))
        #expect(try parse("[\"\u{7F}\u{2028}\"]").get() == .array(["\u{7F}\u{2028}"]))
    }

    @Test func `JSON names in two Unicode spellings are two names`() throws {
        let value = try parse("{\"\u{E9}\": 1, \"e\u{301}\": 2, \"K\": 3, \"\u{212A}\": 4}").get()
        #expect(value["\u{E9}"] == .number(1) && value["e\u{301}"] == .number(2))
        #expect(value["K"] == .number(3) && value["\u{212A}"] == .number(4))
        #expect(try JSONValue.parse(value.serialized) == value)
        #expect(JSONValue.string("\u{E9}") != JSONValue.string("e\u{301}"))
    }

    @Test(arguments: [
        "0", "-0", "9007199254740993", "18446744073709551616", "-12345678901234567890123456789", "1.10", "1e400",
        "0.1000000000000000055511151231257827", "1E+2", "2e-3",
    ])
    func `JSON numbers keep their digits when they are read and written`(text: String) throws {
        let value = try parse(#"{"id":\#(text)}"#).get()
        #expect(String(decoding: value.serialized, as: UTF8.self) == #"{"id":\#(text)}"#)
        #expect(value["id"]?.number == Double(text).flatMap { $0.isFinite ? $0 : nil })
    }

    @Test func `JSON numbers from Swift values are written as valid JSON`() {
        let cases: [(JSONValue, String)] = [
            (.number(3), "3"), (.number(-2.5), "-2.5"), (.number(1e21), "1e+21"),
            (.number(Int.max), "9223372036854775807"),
            (.number(Double.infinity), "null"), (.number(Double.nan), "null"),
            (.number(Double.leastNonzeroMagnitude), "5e-324"),
        ]
        for (value, text) in cases {
            #expect(String(decoding: value.serialized, as: UTF8.self) == text)
            #expect((try? JSONValue.parse(value.serialized)) == value)
        }
    }

    @Test func `JSON strings are written so that every reader reads the same`() throws {
        let value: JSONValue = ["\u{0}\u{1F}\"\\\n\r\t/é\u{7F}": "\u{8}"]
        #expect(
            String(decoding: value.serialized, as: UTF8.self)
                == "{\"\\u0000\\u001f\\\"\\\\\\n\\r\\t/é\u{7F}\":\"\\u0008\"}")
        #expect(try JSONDecoder().decode(Reference.self, from: Data(value.serialized)).value == value)
        #expect(try JSONValue.parse(value.serialized(indented: true)) == value)
    }

    @Test func `wide JSON is read whatever its shape`() throws {
        let shapes: [(String, Int)] = [
            ("[]", 20_000), ("0", 20_000), (#"{"a":{}}"#, 10_000), (#""\u0041""#, 10_000), ("1e5", 20_000),
        ]
        for (element, count) in shapes {
            let text = "[" + Array(repeating: element, count: count).joined(separator: ",") + "]"
            guard case .array(let elements) = try parse(text).get() else { throw JSONError.malformed }
            #expect(elements.count == count)
        }
        let members = (0..<20_000).map { #""\#($0)":\#($0)"# }.joined(separator: ",")
        #expect(try parse("{\(members)}").get()["19999"] == .number(19_999))
        #expect(parse("{\(members),\"7\":0}") == .failure(.duplicateKey))
    }

    // MARK: Comparison with Foundation

    /// A JSON value as Foundation's decoder reads it.
    private struct Reference: Decodable {
        var value: JSONValue

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                value = .null
            } else if let text = try? container.decode(String.self) {
                value = .string(text)
            } else if let flag = try? container.decode(Bool.self) {
                value = .bool(flag)
            } else if let number = try? container.decode(Double.self) {
                value = .number(number)
            } else if let members = try? container.decode([String: Reference].self) {
                value = .object(members.mapValues(\.value))
            } else {
                value = .array(try container.decode([Reference].self).map(\.value))
            }
        }
    }

    /// Returns the value with its numbers rounded as Foundation rounds them.
    private func rounded(_ value: JSONValue) -> JSONValue {
        switch value {
        case .number: value.number.map { JSONValue.number($0) } ?? .null
        case .array(let elements): .array(elements.map(rounded))
        case .object(let members): .object(members.mapValues(rounded))
        default: value
        }
    }

    @Test func `JSON that Foundation reads too gives an equal value`() {
        var generator = SeededGenerator(seed: 20_261_123)
        var both = 0
        for _ in 0..<4000 {
            let value = random(&generator, depth: 4)
            var bytes = value.serialized
            #expect((try? JSONValue.parse(bytes)) == value)
            #expect((try? JSONDecoder().decode(Reference.self, from: Data(bytes)))?.value == rounded(value))
            for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes.remove(at: index)
                case 1: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 2: bytes[index] = Array(#"{}[]:,"\ue0.-1 "#.utf8).randomElement(using: &generator) ?? 0
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
                }
            }
            guard let ours = try? JSONValue.parse(bytes),
                let theirs = try? JSONDecoder().decode(Reference.self, from: Data(bytes))
            else { continue }
            both += 1
            #expect(rounded(ours) == theirs.value, "\(String(decoding: bytes, as: UTF8.self))")
        }
        #expect(both > 100)
    }

    private func random(_ generator: inout SeededGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 0 ? 6 : 4), using: &generator) {
        case 0: return .null
        case 1: return .bool(.random(using: &generator))
        case 2: return .number(Double(Int.random(in: -1000...1000, using: &generator)) / 8)
        case 3: return .string(text(&generator))
        case 4: return .array((0..<3).map { _ in random(&generator, depth: depth - 1) })
        default:
            return .object(
                Dictionary((0..<3).map { _ in (text(&generator), random(&generator, depth: depth - 1)) }) { $1 })
        }
    }

    private func text(_ generator: inout SeededGenerator) -> String {
        let characters = Array("ab\"\\\n\té😀{}[]:, \u{1}")
        return String(
            (0..<Int.random(in: 0...5, using: &generator)).map { _ in characters.randomElement(using: &generator) ?? "x"
            })
    }
}
