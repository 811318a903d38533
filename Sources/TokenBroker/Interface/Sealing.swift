/// Names and seals what the processes of a fleet share, so that whoever reads their store learns nothing, and whoever
/// writes to it can forge nothing.
///
/// **Write one.** Use a library's authenticated encryption and keyed hash. The processes of a fleet have the same keys.
public protocol Sealing: Sendable {
    /// Returns a name that tells messages apart and reveals nothing about them to anyone without the key. All processes
    /// give a message the same name.
    ///
    /// - Returns: At least 128 bits as text in ASCII, without spaces.
    func name(for message: [UInt8]) -> String

    /// Returns a name that depends on no key, so that it survives a change of keys. Anyone who guesses the message can
    /// check the guess.
    ///
    /// - Returns: At least 128 bits as text in ASCII, without spaces.
    func digest(of message: [UInt8]) -> String

    /// Encrypts and authenticates content.
    ///
    /// - Parameters:
    ///   - content: The content.
    ///   - name: The name under which it is stored. Content that is moved to another name cannot be opened.
    /// - Returns: The sealed content; `nil` if the library failed.
    func seal(_ content: [UInt8], as name: String) -> [UInt8]?

    /// Decrypts content.
    ///
    /// - Parameters:
    ///   - sealed: The sealed content.
    ///   - name: The name under which it was found.
    /// - Returns: The content; `nil` if it was not sealed with one of the keys for this name.
    func open(_ sealed: [UInt8], as name: String) -> [UInt8]?
}
