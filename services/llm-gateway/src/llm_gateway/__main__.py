from llm_gateway.main import main

main()
