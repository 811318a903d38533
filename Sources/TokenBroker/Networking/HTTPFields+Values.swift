import HTTPTypes

extension HTTPFields {
    /// The values of a field that this package's dependencies have no name for, in order.
    /// - Parameter name: In lower case.
    func values(named name: String) -> [String] { filter { $0.name.canonicalName == name }.map(\.value) }

    /// The same as one list (RFC 9110, section 5.3); `nil` if there is no such field.
    func joined(_ name: String) -> String? {
        let values = values(named: name)
        return values.isEmpty ? nil : values.joined(separator: ",")
    }
}
