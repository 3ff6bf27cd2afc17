from vision_agent.main import main

main()
