from conversation.main import main

main()
