#if CommandLineSupport
import Foundation
import Logging
import Metrics
import MetricsTestKit
import Synchronization
import Testing

@testable import token_broker

/// Tests of the log's writer on pipes that the test reads or leaves unread.
@Suite struct LogWriterTests {
    private let metrics = TestMetrics()
    private let pipe = Pipe()

    private func writer(limit: Int) -> LogWriter {
        let writer = LogWriter(
            StandardStream(descriptor: pipe.fileHandleForWriting.fileDescriptor), limit: limit,
            droppedLines: Counter(label: "dropped", factory: metrics)
        )
        writer.describeDropped { Array("\($0) dropped\n".utf8) }
        return writer
    }

    private var dropped: Int64 {
        get throws { try metrics.expectCounter("dropped").totalValue }
    }

    /// Reads lines until `isEnough` returns `true`.
    private func read(until isEnough: ([String]) -> Bool) throws -> [String] {
        var text = ""
        var lines: [String] = []
        repeat {
            var readable = pollfd(fd: pipe.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&readable, 1, 10_000) == 1, "nothing comes after \(lines.suffix(3))")
            text += String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
            lines = text.split(separator: "\n").map(String.init)
        } while !text.hasSuffix("\n") || !isEnough(lines)
        return lines
    }

    private func line(_ index: Int) -> String { "\(index) \(String(repeating: "x", count: 1_000))" }

    @Test func `log lines are written in order while they are read`() throws {
        let writer = writer(limit: 1 << 20)
        for index in 0..<500 { writer.line(line(index)) }
        writer.line("end")
        #expect(try read { $0.last == "end" } == (0..<500).map(line) + ["end"])
        writer.flush(within: .seconds(60))
        #expect(try dropped == 0)
    }

    @Test func `log lines that are not read are dropped without waiting, and counted in their place`() throws {
        let writer = writer(limit: 100_000)
        for index in 0..<1_000 { writer.line(line(index)) }
        let count = try dropped
        // The pipe takes 64 KiB. The writer writes up to `limit` bytes, and as many again wait.
        #expect(600..<1_000 ~= count)
        // Flushing gives up if nothing reads the pipe.
        writer.flush(within: .milliseconds(10))
        let lines = try read { lines in
            lines.reduce(0) { $0 + ($1.hasSuffix(" dropped") ? Int($1.dropLast(8)) ?? 0 : 1) } == 1_000
        }
        var next = 0
        for text in lines {
            if text.hasSuffix(" dropped") {
                next += Int(text.dropLast(8)) ?? 0
            } else {
                #expect(text == line(next))
                next += 1
            }
        }
        #expect(next == 1_000 && 1_000 - count == lines.count { !$0.hasSuffix(" dropped") })
        writer.line("later")
        #expect(try read { $0.last == "later" } == ["later"])
        #expect(try dropped == count)
    }

    @Test func `a log line that is larger than the buffer is dropped`() throws {
        let writer = writer(limit: 100)
        writer.line(line(0))
        #expect(try read { $0.last == "1 dropped" } == ["1 dropped"])
        writer.line("small")
        #expect(try read { $0.last == "small" } == ["small"])
    }

    @Test func `log lines that could not be written are reported once they can be`() throws {
        // The descriptor first has no room. Then a file that does replaces it.
        let path = FileManager.default.temporaryDirectory.appending(path: "log-\(UUID().uuidString)").path
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let writer = LogWriter(
            StandardStream(descriptor: descriptor), droppedLines: Counter(label: "dropped", factory: metrics))
        writer.describeDropped { Array("\($0) dropped\n".utf8) }
        for index in 0..<3 {
            writer.line("\(index)")
            writer.flush(within: .seconds(60))
        }
        #expect(try dropped == 3)
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        dup2(file, descriptor)
        close(file)
        writer.line("3")
        writer.flush(within: .seconds(60))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "3 dropped\n3\n")
    }

    @Test(arguments: [LoggingOptions.Format.text, .json])
    func `a log event is one line, whatever it contains`(format: LoggingOptions.Format) {
        let lines = Mutex<[[UInt8]]>([])
        let handler = format.handler("test") { line in lines.withLock { $0.append(line) } }
        let logger = Logger(label: "test") { _ in handler }
        logger.info("a\nb\u{2028}c\u{1B}[2J", metadata: ["key": "d\r\ne\u{85}f"])
        let text = lines.withLock { $0 }.map { String(decoding: $0, as: UTF8.self) }
        #expect(text.count == 1)
        #expect(text.joined().utf8.filter { $0 < 0x20 } == [0x0A])
        #expect(text.first?.hasSuffix("\n") == true)
    }
}
#endif
