// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @notice What is shown of a lease.
/// @param tokenId The lease.
/// @param plan The name of its plan.
/// @param cores Processor cores of the machine.
/// @param memoryMiB Its memory, in MiB.
/// @param diskGiB Its disk, in GiB.
/// @param state A few words, put in as they are: `Lease` gives plain letters alone.
/// @param expiration In Unix seconds.
struct Card {
    uint256 tokenId;
    string plan;
    uint32 cores;
    uint32 memoryMiB;
    uint32 diskGiB;
    string state;
    uint64 expiration;
}

/// @title How a lease looks: JSON with a small picture, all of it made here
/// @notice Pure: it remembers nothing. It is a contract of its own because the one that it draws for is near the size
/// limit.
/// @dev A plan's name is printable ASCII, and printable ASCII can still be markup: what is not a letter, digit, blank,
/// dot or dash is left out, rather than escaped for JSON within base64 and XML within that.
contract LeaseArt {
    using Strings for uint256;

    /// @notice Draws a card, with name, description, picture and attributes.
    /// @param card What is to be shown.
    /// @return A `data:` URI: JSON in base64, and in it an SVG in base64.
    function uri(Card calldata card) external pure returns (string memory) {
        string memory name = string.concat("Lease #", card.tokenId.toString());
        bytes memory json = abi.encodePacked(
            '{"name":"',
            name,
            '","description":"Who owns this token may use the machine until it expires.","image":"data:image/svg+xml;base64,',
            Base64.encode(_picture(name, card)),
            '","attributes":',
            _attributes(card),
            "}"
        );
        return string.concat("data:application/json;base64,", Base64.encode(json));
    }

    /// @notice The picture: five lines of text on a dark ground.
    /// @param name The title of the lease.
    /// @param card What is to be shown.
    /// @return An SVG.
    function _picture(string memory name, Card calldata card) private pure returns (bytes memory) {
        bytes memory lines = abi.encodePacked(
            _line(48, 26, name),
            _line(84, 18, _plain(card.plan)),
            _line(112, 14, _machine(card)),
            _line(156, 16, card.state)
        );
        return
            abi.encodePacked(
                '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 220"><rect width="320" height="220" rx="16" fill="#14213d"/><g fill="#fff" font-family="monospace">',
                lines,
                _line(182, 14, string.concat("until ", _date(card.expiration))),
                "</g></svg>"
            );
    }

    /// @notice One line of the picture.
    /// @param y How far down it stands, in the picture's units, of which there are 220.
    /// @param size How high its letters are, in the same units.
    /// @param text What it says, with no markup in it.
    /// @return An SVG element.
    function _line(uint256 y, uint256 size, string memory text) private pure returns (bytes memory) {
        return
            abi.encodePacked('<text x="24" y="', y.toString(), '" font-size="', size.toString(), '">', text, "</text>");
    }

    /// @notice What machine it is, in words.
    /// @param card What is to be shown.
    /// @return Cores, memory and disk with their units.
    function _machine(Card calldata card) private pure returns (string memory) {
        return
            string.concat(
                uint256(card.cores).toString(),
                " cores, ",
                uint256(card.memoryMiB).toString(),
                " MiB, ",
                uint256(card.diskGiB).toString(),
                " GiB"
            );
    }

    /// @notice What markets sort and filter by.
    /// @param card What is to be shown.
    /// @return A JSON list.
    function _attributes(Card calldata card) private pure returns (bytes memory) {
        return
            abi.encodePacked(
                '[{"trait_type":"plan","value":"',
                _plain(card.plan),
                '"},{"trait_type":"machine","value":"',
                _machine(card),
                '"},{"trait_type":"state","value":"',
                card.state,
                '"},{"display_type":"date","trait_type":"expires","value":',
                uint256(card.expiration).toString(),
                "}]"
            );
    }

    /// @notice Letters, digits, blanks, dots and dashes; anything else becomes a blank.
    /// @param text Any bytes.
    /// @return As many bytes, none of which is markup.
    function _plain(string calldata text) private pure returns (string memory) {
        bytes memory raw = bytes(text);
        for (uint256 i = 0; i < raw.length; ++i) {
            bytes1 c = raw[i];
            bool letter = (c | 0x20) >= "a" && (c | 0x20) <= "z";
            bool digit = c >= "0" && c <= "9";
            if (!letter && !digit && c != "." && c != "-") raw[i] = " ";
        }
        return string(raw);
    }

    /// @notice The date of a Unix second, as in 2031-05-07 09:30 UTC.
    /// @dev Years are counted from March, so that the leap day is the last of its year; 719,468 days lie between the
    /// first of March of the year 0 and 1970.
    /// @param timestamp In Unix seconds.
    /// @return To the minute, rounded down.
    function _date(uint256 timestamp) private pure returns (string memory) {
        uint256 day = timestamp / 1 days + 719_468;
        uint256 era = day / 146_097;
        uint256 dayOfEra = day % 146_097;
        uint256 year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365;
        uint256 dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100);
        uint256 month = (5 * dayOfYear + 2) / 153;
        day = dayOfYear - (153 * month + 2) / 5 + 1;
        month = month < 10 ? month + 3 : month - 9;
        year += era * 400 + (month <= 2 ? 1 : 0);
        return
            string.concat(
                string.concat(year.toString(), "-", _two(month), "-", _two(day)),
                string.concat(" ", _two((timestamp / 1 hours) % 24), ":", _two((timestamp / 1 minutes) % 60), " UTC")
            );
    }

    /// @notice A number in two digits at least.
    /// @param number Below 100, where exactly two are wanted.
    /// @return It, with a zero before it if it is below ten.
    function _two(uint256 number) private pure returns (string memory) {
        return number < 10 ? string.concat("0", number.toString()) : number.toString();
    }
}
