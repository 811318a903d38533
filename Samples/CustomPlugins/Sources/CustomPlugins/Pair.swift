import Foundation
import TokenBroker

/// `Secret` is `Decodable`, so that a secret is one from the moment it is read.
struct Pair: Decodable {
    var clientID: Secret
    var clientSecret: Secret

    enum CodingKeys: String, CodingKey {
        case clientID = "client_id"
        case clientSecret = "client_secret"
    }

    init?(_ json: [UInt8]) {
        guard let pair = try? JSONDecoder().decode(Pair.self, from: Data(json)) else { return nil }
        self = pair
    }
}
