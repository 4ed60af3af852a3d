// What was said so far, as the request that elver::Session::chat() takes. Shared by chat.cpp and window.cpp.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

class Conversation {
  public:
    // The request that asks for an answer to `question` after all that was said.
    std::string ask(std::string_view question) const {
        return R"({"temperature": 0, "messages": [)" + messages_ + message("user", question) + "]}";
    }
    void add(std::string_view question, std::string_view answer) {
        messages_ += message("user", question) + ", " + message("assistant", answer) + ", ";
    }

  private:
    static std::string message(std::string_view role, std::string_view content) {
        std::string json = R"({"role": ")" + std::string(role) + R"(", "content": ")";
        for (const char c : content) {
            char escape[8];
            if (static_cast<unsigned char>(c) < 0x20)
                std::snprintf(escape, sizeof escape, "\\u%04x", c), json += escape;
            else if (c == '"' || c == '\\')
                (json += '\\') += c;
            else
                json += c;
        }
        return json + "\"}";
    }

    std::string messages_;  // JSON objects, each followed by a comma
};
