#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import Logging
import Synchronization
import TokenBroker

/// `--log-level` and `--log-format`, which every subcommand takes. Log lines go to standard error.
struct LoggingOptions: ParsableArguments {
    @Option(help: "The minimum level of logged messages: \(Level.allNames).")
    var logLevel: Level = .info

    @Option(help: "The format of log lines: text or json.")
    var logFormat: Format = .text

    enum Level: String, ExpressibleByArgument, CaseIterable {
        case trace, debug, info, notice, warning, error
        static var allNames: String { allCases.map(\.rawValue).joined(separator: ", ") }
        var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
    }

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    func makeLogger(_ label: String = "token-broker") -> Logger {
        let format = logFormat
        standardError.describeDropped { format.dropped($0, label) }
        var logger = Logger(label: label) { label in format.handler(label) { standardError.write($0) } }
        logger.logLevel = logLevel.level
        return logger
    }
}

extension LoggingOptions.Format {
    /// - Parameter write: Receives each event as one line.
    func handler(_ label: String, to write: @escaping @Sendable ([UInt8]) -> Void) -> any LogHandler {
        switch self {
        case .text: StreamLogHandler(label: label, stream: TextLines(write: write))
        case .json: JSONLogHandler(label: label, write: write)
        }
    }

    /// Returns the line that says how many lines are missing in its place.
    func dropped(_ count: Int, _ label: String) -> [UInt8] {
        let line = Mutex<[UInt8]>([])
        handler(label) { bytes in line.withLock { $0 = bytes } }
            .log(
                event: LogEvent(
                    level: .warning, message: "log lines were dropped, because they were not read in time",
                    metadata: ["count": "\(count)"], source: "token-broker", file: #fileID, function: #function,
                    line: #line
                )
            )
        return line.withLock { $0 }
    }
}

/// Lines of text. Control characters are escaped, so that every event is one line.
private struct TextLines: TextOutputStream, Sendable {
    let write: @Sendable ([UInt8]) -> Void

    func write(_ string: String) {
        let line = string.hasSuffix("\n") ? string.dropLast() : string[...]
        guard line.unicodeScalars.contains(where: Self.isControl) else { return write(Array(string.utf8)) }
        var escaped = String.UnicodeScalarView()
        for scalar in line.unicodeScalars {
            if Self.isControl(scalar) {
                escaped.append(contentsOf: scalar.escaped(asASCII: true).unicodeScalars)
            } else {
                escaped.append(scalar)
            }
        }
        write(Array("\(String(escaped))\n".utf8))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
    }
}

/// Writes each event as one line of JSON.
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    let write: @Sendable ([UInt8]) -> Void

    init(label: String, write: @escaping @Sendable ([UInt8]) -> Void) {
        self.label = label
        self.write = write
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var members: [String: JSONValue] = [:]
        for source in [metadata, metadataProvider?.get() ?? [:], event.metadata ?? [:]] {
            for (key, value) in source { members[key] = json(value) }
        }
        members["time"] = .string(Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
        members["level"] = .string(event.level.rawValue)
        members["label"] = .string(label)
        members["module"] = .string(event.source)
        members["message"] = .string(event.message.description)
        if let error = event.error { members["error"] = .string("\(error)") }
        write(JSONValue.object(members).serialized + [UInt8(ascii: "\n")])
    }

    private func json(_ value: Logger.Metadata.Value) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value): .string(value.description)
        case .array(let values): .array(values.map(json))
        case .dictionary(let values): .object(values.mapValues(json))
        }
    }
}
#endif
