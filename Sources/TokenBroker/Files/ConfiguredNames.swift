/// Describes the files and names in a configuration for messages.
///
/// A user may by mistake enter a secret where a path or a name is expected. Text that does not look like either is
/// therefore not shown; the key in the message identifies the setting.
package enum ConfiguredNames {
    /// `file /run/secrets/proxy`, or `the configured file`.
    package static func file(_ path: String) -> String { isPath(path) ? "file \(path)" : "the configured file" }

    /// `directory /run/secrets`, or `the configured directory`.
    package static func directory(_ path: String) -> String {
        isPath(path) ? "directory \(path)" : "the configured directory"
    }

    /// `the variable PROXY_SECRET`, or `the configured variable`.
    package static func variable(_ name: String) -> String {
        isName(name) ? "the variable \(name)" : "the configured variable"
    }

    /// The name of a member, a variable or a file within a directory, or `the configured name`.
    package static func name(_ name: String) -> String { isName(name) ? name : "the configured name" }

    /// Returns whether a text starts like a path or ends in an extension.
    private static func isPath(_ text: String) -> Bool {
        guard text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { return false }
        if ["/", "./", "../", "~/"].contains(where: { text.utf8.starts(with: $0.utf8) }) { return true }
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 2 && (1...5).contains(parts[1].count) && parts[1].allSatisfy { 0x61...0x7A ~= $0 }
    }

    /// Returns whether a text consists of words, with at most two digits after a separator, as in `client_id_2`.
    private static func isName(_ text: String) -> Bool {
        let words = text.utf8.split(omittingEmptySubsequences: false) { [0x5F, 0x2D, 0x2E].contains($0) }
        return text.utf8.count <= 64
            && words.allSatisfy { word in
                word.allSatisfy { 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0 }
                    || word.count <= 2 && word.allSatisfy { 0x30...0x39 ~= $0 }
            }
    }
}
