// chat MODEL: a conversation in the terminal; each line that you type is a question. Ctrl-D ends it.
#include <elver/elver.hpp>
#include <iostream>
#include <string>

#include "conversation.hpp"

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::cerr << "usage: chat MODEL\n";
        return 2;
    }
    auto model = elver::Model::open(argv[1]);
    model.load([](double fraction) { std::cerr << "\rloading " << static_cast<int>(fraction * 100) << " %"; });
    std::cerr << "\n";
    elver::Session session(model);
    Conversation conversation;
    for (std::string question; std::getline(std::cin, question);) {
        session.chat(conversation.ask(question));
        std::string answer;
        for (const elver::Event& event : session.events()) {
            std::cout << event.text << std::flush;
            answer += event.text;
        }
        std::cout << "\n";
        conversation.add(question, answer);
    }
} catch (const elver::Error& error) {
    std::cerr << "chat: " << error.what() << "\n";
    return 1;
}
